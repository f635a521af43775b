"""From what falls together in a network to unit groups: whose rows make them, and what is pruned with each unit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.model.labels.dependencies import Alike, Dependencies
from pruning.model.labels.tracing import Axis
from pruning.model.layer_table import Weight, owning_layer, prunable_weights
from pruning.model.layer_types import has_channels
from pruning.model.units import Slice, UnitGroup

STAY = ": they always stay"
UNLIKE_PARTS = f"its units fall in several parts that differ in size or in the layers that they are pruned with{STAY}"


@dataclass(frozen=True, eq=False)
class Candidate:
    """Units that fall independently of one another: how many, and which slices of each axis every one owns."""

    units: int
    index: dict[Axis, Tensor]
    ranked: tuple[Axis, ...]
    attends: tuple[str, ...] = ()


def coupled_groups(
    model: nn.Module, found: Dependencies, ranked_by: Callable[[Alike], Sequence[Axis]]
) -> tuple[list[UnitGroup], dict[str, str]]:
    """The groups of all units that some axes rank; and for each row that is in none, if it is known, why not.

    `ranked_by` says by which axes of prunable weights units that are alike are ranked: by none if they are not wanted.
    """
    weights = {weight.param: weight for weight in prunable_weights(model)}
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    made = [axis for axis in found.axes if axis in found.written and axis.param in weights]
    roots = {int(root) for axis in made for root in found.roots_of(axis).tolist()}
    reasons: dict[str, str] = {}
    candidates: list[Candidate] = []
    for alike in found.alike(roots):
        ranked = tuple(ranked_by(alike))
        if not ranked:
            continue
        if why_not := _why_not(found, alike, frozen, ranked):
            for axis in ranked:
                reasons.setdefault(weights[axis.param].name, why_not)
        else:
            heads = found.heads.get(int(alike.roots[0]), ())
            candidates.append(Candidate(len(alike.roots), alike.index, ranked, heads))
    chosen = _one_a_row(candidates)
    for axis in {axis for candidate in candidates for axis in candidate.ranked}:
        reasons[weights[axis.param].name] = UNLIKE_PARTS
    groups = sorted((_group(candidate, weights) for candidate in chosen), key=lambda g: _order(weights, g.name))
    members = {member for group in groups for member in group.members}
    return groups, {name: why for name, why in reasons.items() if name not in members}


def _order(weights: dict[str, Weight], row: str) -> int:
    return next(i for i, weight in enumerate(weights.values()) if weight.name == row)


def made_by(model: nn.Module, found: Dependencies, alike: Alike) -> list[Axis]:
    """The axes of prunable weights that make such units."""
    prunable = {weight.param for weight in prunable_weights(model)}
    return [axis for axis in alike.index if axis in found.written and axis.param in prunable]


def makes_no_units(model: nn.Module, found: Dependencies, param: str) -> str:
    """Why none of the units that fall together are made by a weight."""
    if param in found.unseen:
        return "the network does not use it on the example, so that its units are not known"
    if model.get_parameter(param).shape[0] == 1 and has_channels(owning_layer(model, param)):
        return "it has a single unit, which always stays"
    roots = [int(root) for axis in found.axes if axis.param == param for root in found.roots_of(axis)]
    if locked := next((found.locked[root] for root in roots if root in found.locked), ""):
        return locked
    return "what the network does with it makes no units of its rows: choose granularity weights"


def _why_not(found: Dependencies, alike: Alike, frozen: set[str], ranked: Sequence[Axis]) -> str:
    """Why units like these must stay; "" where they may fall."""
    root = int(alike.roots[0])
    if locked := next((found.locked[int(each)] for each in alike.roots if int(each) in found.locked), ""):
        return f"{locked.removesuffix(STAY)}{STAY}"
    all_of_them = len(alike.roots) == 1 and alike.index[ranked[0]].numel() == ranked[0].length > 1
    consumed = any(int(each) in found.consumed for each in alike.roots)
    where = found.ties.get(root, "")
    # who reads units that are all tied to one is not followed: that nobody does would not be true
    if all_of_them or (where and not consumed):
        return f"its units fall only all together{f', for they meet in {where}' if where else ''}{STAY}"
    if not consumed:
        return f"no weights read its units one by one, as where they choose an expert{STAY}"
    if still := [axis.param for axis in alike.index if axis in found.written and axis.param in frozen]:
        layer = still[0].rpartition(".")[0]
        return f"its units are pruned together with those of {layer}, which is frozen: set requires_grad to True there"
    return ""


def _one_a_row(candidates: Sequence[Candidate]) -> list[Candidate]:
    """One candidate for each row of a layer: parts of one layer, as where it is chunked, fall in equal numbers.

    Of parts that are not equal the largest falls, the others stay. Parts of a single unit leave nothing to choose from.
    """
    chosen: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda part: (part.units > 1, _owned(part)), reverse=True):
        sharing = [other for other in chosen if _params(other) & _params(candidate)]
        if not sharing:
            chosen.append(candidate)
        elif all(other.units == candidate.units for other in sharing):
            for other in sharing:
                candidate = _merged(other, candidate)
                chosen.remove(other)
            chosen.append(candidate)
    return [candidate for candidate in chosen if not _all_at_once(candidate)]


def _all_at_once(candidate: Candidate) -> bool:
    return candidate.units == 1 and any(candidate.index[axis].numel() == axis.length > 1 for axis in candidate.ranked)


def _params(candidate: Candidate) -> set[str]:
    return {axis.param for axis in candidate.ranked}


def _owned(candidate: Candidate) -> int:
    return sum(index.numel() for index in candidate.index.values())


def _merged(first: Candidate, second: Candidate) -> Candidate:
    index = dict(first.index)
    for axis, more in second.index.items():
        index[axis] = torch.cat([index[axis], more], dim=1).sort(dim=1).values if axis in index else more
    attends = tuple(dict.fromkeys(first.attends + second.attends))
    return Candidate(first.units, index, tuple(dict.fromkeys(first.ranked + second.ranked)), attends)


def _group(candidate: Candidate, weights: dict[str, Weight]) -> UnitGroup:
    """Named after the first of its rows in the model's order."""
    order = list(weights)
    ranked = sorted(candidate.ranked, key=lambda axis: order.index(axis.param))
    others = [axis for axis in candidate.index if axis not in ranked]
    members = tuple(dict.fromkeys(weights[axis.param].name for axis in ranked))
    return UnitGroup(
        members[0],
        members,
        (candidate.units,),
        tuple(Slice(axis.param, axis.dim, candidate.index[axis]) for axis in ranked),
        tuple(Slice(axis.param, axis.dim, candidate.index[axis]) for axis in others),
        attends=candidate.attends,
    )
