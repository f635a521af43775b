"""The rows of the layer panel: every value's bin, made once, and who stays, which a slider position decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pruning.criteria import Magnitude
from pruning.interactive.responses import BINS, Axis, LayerView
from pruning.model.descriptions import LayerRow
from pruning.model.units import UnitGroup, Whole, group_of
from pruning.recipe.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Bins:
    """The bin that every value of a layer lies in, uint8 [values]; `unit` is what 1 on the axis stands for."""

    of: Tensor
    low: float
    high: float
    unit: float


def binned(values: Tensor, low: float, high: float, unit: float) -> Bins:
    share = (values - low) / (high - low)
    return Bins((share * BINS).clamp(0, BINS - 1).to(torch.uint8), low, high, unit)


@dataclass(frozen=True, eq=False)
class Rows:
    """Makes the rows of the layer panel. Values keep their bins wherever the slider stands; only who stays changes."""

    recipe: Recipe
    axis: Axis
    groups: Sequence[UnitGroup]
    left_out: Mapping[str, str]
    bins: Mapping[str, Bins]
    keep: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    cuts: Mapping[str, float | None]

    def row(self, layer: LayerRow) -> LayerView:
        group = group_of(self.groups, layer.name)
        bins = self.bins.get(layer.name, Bins(torch.zeros(0, dtype=torch.uint8), 0.0, 1.0, 1.0))
        stays = torch.ones(group.units if group else 0, dtype=torch.bool)
        if group is not None:
            stays = self.keep.get(group.name, stays)
        counts = torch.bincount(
            bins.of.long() + BINS * self._value_stays(layer, stays, len(bins.of)), minlength=2 * BINS
        )
        members = {layer.name, *(group.members if group else ())}
        own = stays[self._units_of(group, layer)] if group else stays
        return LayerView(
            name=layer.name,
            row=group.name if group else layer.name,
            units=len(own),
            pruned_units=int((~own).sum()),
            of_several=len(own) < len(stays),
            whole=bool(members & self.recipe.keep_whole),
            why_not="" if group else layer.why_not or self.left_out[layer.name],
            low=bins.low,
            high=bins.high,
            kept=counts[BINS:].numpy(),
            pruned=counts[:BINS].numpy(),
            cuts=self._cuts(group, bins) if group else (),
        )

    def _units_of(self, group: UnitGroup, layer: LayerRow) -> Tensor:
        """The group's units that own values of this layer: all of them, unless a unit is a block of several layers."""
        wholes = [piece.unit for piece in group.ranked if isinstance(piece, Whole) and piece.param == layer.param]
        return torch.tensor(wholes) if wholes else torch.arange(group.units)

    def _value_stays(self, layer: LayerRow, stays: Tensor, values: int) -> Tensor:
        """Which of the histogram's values stay: units on the axis of scores, else weights, as outputs and as inputs."""
        if self.axis == "score":
            return stays[:values]
        mask = self.masks.get(layer.param)
        if mask is None or not values:
            return torch.ones(values, dtype=torch.bool)
        return mask.flatten().cpu()

    def _cuts(self, group: UnitGroup, bins: Bins) -> tuple[float, ...]:
        cut = self.cuts.get(group.name)
        if cut is None:
            return ()
        if self.axis == "score":
            return (cut,)
        # only where importance is |w| is the cut a pair of lines on the axis of w
        by_value = isinstance(self.recipe.criterion, Magnitude) and group.of_weights
        return (-cut / bins.unit, cut / bins.unit) if by_value else ()
