"""What the next layers receive from a unit: after norm, activation and pooling, however the network does them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pruning.calibration import Calibration, features_last, input_sums, precise
from pruning.layers import WITH_CHANNELS
from pruning.units import Slice, UnitGroup


def mean_readings(
    model: nn.Module,
    groups: Sequence[UnitGroup],
    calibration: Calibration,
    measures: Sequence[Callable[[Tensor], Tensor]],
) -> dict[str, Tensor]:
    """Group name -> the mean of each measure of a unit's values: float64 [readers, measures, units].

    Means go over samples, positions and all the features that a reader sees of the unit. `measures` are elementwise.
    """
    readers = {piece.param for group in groups for piece in _readers(model, group)}

    def measure(layer: nn.Module, inputs: Tensor) -> Tensor:
        """Sums over the batch and, in the last row, how many were summed [measures + 1, features]."""
        values = precise(features_last(layer, inputs))
        sums = [of(values).sum(dim=0) for of in measures]
        return torch.stack([*sums, torch.full_like(sums[0], len(values))])

    sums = input_sums(model, readers, calibration, measure)
    means = {reader: total[:-1] / total[-1] for reader, total in sums.items()}
    return {
        group.name: torch.stack(
            [
                means[piece.param][:, piece.index.to(means[piece.param].device)].mean(dim=2)
                for piece in _readers(model, group)
            ]
        )
        for group in groups
    }


def why_unread(model: nn.Module, group: UnitGroup) -> str:
    """Why nothing can be read of the group's units; empty where it can."""
    if _readers(model, group):
        return ""
    return "no Linear or convolution reads its units, so what they pass on cannot be seen: choose magnitude or taylor"


def _readers(model: nn.Module, group: UnitGroup) -> list[Slice]:
    """The columns of the next layers' weights that read the units."""
    return [
        piece
        for piece in group.follows
        if isinstance(piece, Slice)
        and piece.dim == 1
        and isinstance(model.get_submodule(piece.param.rpartition(".")[0]), WITH_CHANNELS)
    ]
