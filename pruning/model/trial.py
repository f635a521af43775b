"""Trying beforehand whether units can be removed: without them the network must compute what it does with zeros."""

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from pruning.errors import describe
from pruning.model.patching import evaluating, training_tried
from pruning.model.replayed import Statistics
from pruning.model.surgery import largest_difference, masked_copy, output_shape, without_units
from pruning.model.units import Keep, SizeAttribute, Slice, UnitGroup

_OUTPUT = "its units are the model's output: they always stay"
_OTHERWISE = (
    "without its units the network computes something else than with them set to zero, as where channels are shuffled "
    "in parts of a fixed size: they always stay"
)
_TRAINING = (
    "in train mode the network does not run without some of its units, as where a head runs in train mode alone: they "
    "always stay"
)
CANDIDATES = 5
"""So many numbers of one's own at most are tried in all combinations."""


def tried(model: nn.Module, example: Tensor, groups: Sequence[UnitGroup]) -> tuple[list[UnitGroup], dict[str, str]]:
    """The groups whose units can be removed, with the sizes that go down with them; of the others, by name, why not."""
    several = [group for group in groups if group.units > 1]
    # one trial for all is enough for nearly every network; only if it fails is each group tried alone
    if not _went_wrong(model, example, several):
        return list(groups), {}
    removable: list[UnitGroup] = []
    reasons: dict[str, str] = {}
    known: dict[tuple[object, ...], tuple[SizeAttribute, ...]] = {}
    for group in groups:
        found, why_not = _tried_alone(model, example, group, known) if group.units > 1 else (group, "")
        if why_not:
            reasons[group.name] = why_not
        else:
            removable.append(found)
    if why_not := _went_wrong(model, example, [group for group in removable if group.units > 1]):
        return [], reasons | {group.name: f"together with other layers: {why_not}" for group in removable}
    return removable, reasons


def _tried_alone(
    model: nn.Module, example: Tensor, group: UnitGroup, known: dict[tuple[object, ...], tuple[SizeAttribute, ...]]
) -> tuple[UnitGroup, str]:
    why_not = _went_wrong(model, example, [group])
    if not why_not:
        return group, ""
    candidates = _candidates(model, group)
    alike = tuple((type(model.get_submodule(size.module)), size.name) for size in candidates)
    attempts = _combinations(candidates)
    if alike in known:  # blocks of one class are alike: what was right in the first is tried first in the others
        names = {size.name for size in known[alike]}
        attempts = itertools.chain([tuple(size for size in candidates if size.name in names)], attempts)
    for sizes in attempts:
        changed = replace(group, sizes=sizes)
        if not _went_wrong(model, example, [changed]):
            known[alike] = sizes
            return changed, ""
    return group, why_not


def _combinations(candidates: Sequence[SizeAttribute]) -> Iterator[tuple[SizeAttribute, ...]]:
    if not candidates:
        return
    yield tuple(candidates)
    if len(candidates) <= CANDIDATES:
        for count in range(1, len(candidates)):
            yield from itertools.combinations(candidates, count)
        return
    by_name: dict[tuple[str, int], list[SizeAttribute]] = {}
    for size in candidates:
        by_name.setdefault((size.name, size.each), []).append(size)
    names = list(by_name)[: CANDIDATES + 2]
    for count in range(1, len(names)):
        for chosen in itertools.combinations(names, count):
            yield tuple(size for name in chosen for size in by_name[name])


def _candidates(model: nn.Module, group: UnitGroup) -> list[SizeAttribute]:
    """Whole numbers in the modules around the group's layers that may be a size of its units, and how much is each's."""
    widths = {piece.index.shape[1] for piece in group.pieces if isinstance(piece, Slice)}
    each = {1} | widths | {width // part for width in widths for part in (2, 3, 4) if width % part == 0}
    found: dict[SizeAttribute, None] = {}
    for piece in group.pieces:
        path = piece.param
        for _ in range(3):  # the layer, the module that it lies in, and the one around that
            path = path.rpartition(".")[0]
            module = model.get_submodule(path)
            if type(module).__module__.startswith("torch.nn."):
                continue
            for name, value in vars(module).items():
                if type(value) is int and value > 1 and value % group.units == 0 and value // group.units in each:
                    found[SizeAttribute(path, name, value // group.units)] = None
            if not path:
                break
    return list(found)


def _went_wrong(model: nn.Module, example: Tensor, groups: Sequence[UnitGroup]) -> str:
    """Remove about half of the units of each group, by lot: a sentence if that differs from setting them to zero.

    An odd number: attention that views its channels as heads may run with half of them, and not with others.
    """
    if not groups:
        return ""
    lots = torch.Generator().manual_seed(0)
    keep = {g.name: torch.randperm(g.units, generator=lots) >= _half(g.units) for g in groups}
    inputs = _within(example, lots)
    try:
        smaller = without_units(model, groups, keep)
        output_shape(smaller, example)
        expected, output = _outputs(model, smaller, groups, keep, inputs)
    except Exception as error:  # whatever a stranger's forward raises on tensors that no longer fit
        return f"the network does not run without some of its units ({describe(error)}): they always stay"
    if output.shape != expected.shape:
        return _OUTPUT
    if not _same(output, expected):
        return _OTHERWISE
    if not _runs_in_train_mode(smaller, example) and _runs_in_train_mode(model, example):
        return _TRAINING
    return ""


def _half(units: int) -> int:
    """About half, an odd number, with two units left where there are three: one alone would be broadcast."""
    odd = units // 2 | 1
    return odd if units - odd >= 2 or units < 3 else 1


def _same(output: Tensor, expected: Tensor) -> bool:
    """Whether the outputs differ by rounding alone. Outputs that are not numbers tell nothing: then they are not."""
    finite = expected[expected.isfinite()]
    if expected.isnan().any() or not len(finite):
        return False
    rounding = max(torch.finfo(output.dtype).eps ** 0.5, 1e-4) * float(finite.abs().max())
    return largest_difference(output, expected) <= rounding


def _runs_in_train_mode(model: nn.Module, example: Tensor) -> bool:
    """Whether it runs on two samples as in fine-tuning, where a network may have heads that evaluation does without."""
    try:
        with training_tried(model), torch.no_grad(), torch.random.fork_rng(devices=[]):
            model(torch.cat([example, example]))
    except Exception:
        return False
    return True


def _within(example: Tensor, lots: torch.Generator) -> Tensor:
    """Random values in the range of the example; the example itself if it holds whole numbers."""
    if not example.is_floating_point():
        return example
    low, high = example.min(), example.max()
    return low + (high - low) * torch.rand(example.shape, generator=lots).to(example)


def _outputs(
    model: nn.Module, smaller: nn.Module, groups: Sequence[UnitGroup], keep: Keep, inputs: Tensor
) -> tuple[Tensor, Tensor]:
    """What the model gives with the units zero, and what the smaller one gives with the statistics of that.

    In float64 where they can.
    """
    masked = masked_copy(model, groups, keep)
    try:
        values = inputs.double() if inputs.is_floating_point() else inputs
        return _compared(copy.deepcopy(masked).double(), copy.deepcopy(smaller).double(), values)
    except Exception:  # the device has no float64, or a forward makes tensors of another type
        return _compared(masked, smaller, inputs)


@torch.no_grad()
def _compared(masked: nn.Module, smaller: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    statistics = Statistics()
    with evaluating(masked), statistics:
        expected = masked(inputs)
    with evaluating(smaller):
        output = smaller(inputs)
    if output.shape == expected.shape and _same(output, expected):
        return expected, output
    statistics.replaying = True
    with evaluating(smaller), statistics:
        return expected, smaller(inputs)
