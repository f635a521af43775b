"""The rows of a sensitivity map: every unit group with its cuts, ready to be evaluated."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from pruning.layer_sensitivity.incremental_linear import IncrementalLinear, computing_incrementally, incremental_linears
from pruning.layer_sensitivity.suffix_graph import ATOL, RTOL, GraphWalk, Suffix
from pruning.model.copying import deep_copy
from pruning.model.costs import CostModel
from pruning.model.patching import evaluating, hooked, replaced_parameters
from pruning.model.units import Masks, UnitGroup, zeroed
from pruning.pipeline.one_shot import RankedUnits
from pruning.selection.amounts import Sparsity
from pruning.selection.ranking import rank
from pruning.selection.scopes import WithinLayer

KEPT_BYTES = 128 * 2**20  # of cut tensors, so that they need not be made anew for every batch


@dataclass(eq=False)
class LayerCut:
    """One group cut so far that `pruned` units were pruned: `gone` (parameter -> bool) is what becomes zero."""

    pruned: int
    gone: Masks = field(default_factory=dict[str, Tensor])
    kept: dict[str, Tensor] = field(default_factory=dict[str, Tensor])


@dataclass(eq=False)
class RowCuts:
    """A unit group with its cuts, the shallowest first, and for each level which of them it is.

    `suffix` is what is computed anew for a cut; without one it is the whole network, and `full_passes` says why.
    """

    group: UnitGroup
    cuts: list[LayerCut]
    of_level: list[int]
    suffix: Suffix | None
    full_passes: str
    incremental: dict[str, IncrementalLinear]


class CutModel:
    """A copy of the network in which cuts are made and taken back."""

    def __init__(self, model: nn.Module) -> None:
        self.work = deep_copy(model).eval()
        self._left = KEPT_BYTES

    def row(
        self,
        group: UnitGroup,
        scores: Mapping[str, Tensor],
        levels: Sequence[float],
        walk: GraphWalk,
        cost: CostModel,
    ) -> RowCuts:
        """The group's cuts at the levels, lowest first. Levels at which as many units are pruned are one cut."""
        ranked = RankedUnits(scores, rank([group], scores, WithinLayer(), Sparsity(0.0)), cost, removable=False)
        cuts: dict[int, LayerCut] = {}
        of_level: list[int] = []
        for level in levels:
            decision = ranked.decide(Sparsity(level))
            pruned = decision.counts.pruned
            if pruned not in cuts:
                masks = decision.masks.items()
                gone = {name: ~stays.to(self.work.get_parameter(name).device) for name, stays in masks}
                cuts[pruned] = LayerCut(pruned, gone)
            of_level.append(list(cuts).index(pruned))
        real = [cut for cut in cuts.values() if cut.pruned]
        if not real:  # nothing is cut at any level, and nothing need be evaluated
            return RowCuts(group, list(cuts.values()), of_level, None, "", {})
        middle = real[len(real) // 2]  # of which something is left: that tells more than a network of zeros
        suffix = walk.suffix(list(middle.gone), middle.gone)
        found, why = (suffix, "") if isinstance(suffix, Suffix) else (None, f"each cut is a full pass: {suffix}")
        row = RowCuts(
            group,
            list(cuts.values()),
            of_level,
            found,
            why,
            incremental_linears(self.work, {c.pruned: c.gone for c in real}),
        )
        if not all(self._same_incrementally(row, cut, walk.example) for cut in (real[0], middle)):
            row.incremental.clear()
        return row

    @torch.no_grad()
    def _same_incrementally(self, row: RowCuts, cut: LayerCut, example: Tensor) -> bool:
        """Whether incremental layers give what cut weights give: not where a network does not call the layer itself."""
        if not row.incremental:
            return True
        with self.cut(row, cut, exactly=True):
            expected = self.work(example)
        with self.cut(row, cut, exactly=False):
            incremental = self.work(example)
        return torch.allclose(incremental, expected, RTOL, ATOL, equal_nan=True)

    @contextmanager
    def cut(self, row: RowCuts, cut: LayerCut, exactly: bool) -> Generator[None]:
        """The copy is cut while the block runs; `exactly` as a full evaluation would compute it, to the last digit."""
        incremental = {} if exactly else row.incremental
        in_place = [name for name in cut.gone if name.removesuffix(".weight") not in incremental]
        with (
            replaced_parameters(self.work, in_place, partial(self._zeroed, cut)),
            computing_incrementally(self.work, incremental, cut.pruned),
        ):
            yield

    def _zeroed(self, cut: LayerCut, name: str, whole: Tensor) -> Tensor:
        """The cut tensor, made once as long as there is room to keep it."""
        if name in cut.kept:
            return cut.kept[name]
        values = zeroed(whole, cut.gone[name])
        size = values.numel() * values.element_size()
        if size <= self._left:
            self._left -= size
            cut.kept[name] = values
        return values


def bytes_of_largest(model: nn.Module, example: Tensor) -> int:
    """Of the largest thing that a layer gives for one sample; that of the example where layers give no tensors."""
    found = [example.numel() * example.element_size()]

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            found.append(output.numel() * output.element_size())

    with torch.no_grad(), evaluating(model), hooked(after=[(module, note) for module in model.modules()]):
        model(example)
    return max(found) // len(example)
