"""What the next layers receive from a unit: after norm, activation and pooling, however the network does them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pruning.criteria.calibration import Calibration, features_last, input_sums, precise
from pruning.model.layer_types import is_convolution
from pruning.model.units import Slice, UnitGroup


def mean_readings(
    model: nn.Module,
    groups: Sequence[UnitGroup],
    calibration: Calibration,
    measures: Sequence[Callable[[Tensor], Tensor]],
) -> dict[str, Tensor]:
    """Group name -> the mean of each measure of a unit's values: float64 [readers, measures, units].

    Means go over samples, positions and all the features that a reader sees of the unit. `measures` are elementwise.
    """
    readers = {piece.param for group in groups for piece in _readers(group)}

    def measure(layer: nn.Module, inputs: Tensor) -> Tensor:
        """Sums over the batch and, in the last row, how many were summed [measures + 1, features]."""
        values = precise(features_last(layer, inputs))
        sums = [of(values).sum(dim=0) for of in measures]
        return torch.stack([*sums, torch.full_like(sums[0], len(values))])

    sums = input_sums(model, readers, calibration, measure)
    means = {reader: total[:-1] / total[-1] for reader, total in sums.items()}

    def seen_by(piece: Slice) -> Tensor:
        """Means of the measures over all features of each unit that the reader sees [measures, units]."""
        features = _features(model, piece).to(means[piece.param].device)
        return means[piece.param][:, features].mean(dim=2)

    return {group.name: torch.stack([seen_by(piece) for piece in _readers(group)]) for group in groups}


def _features(model: nn.Module, piece: Slice) -> Tensor:
    """The reader's input features that the columns stand for [units, features]: one of each group of a convolution."""
    reader = model.get_submodule(piece.param.rpartition(".")[0])
    groups = reader.groups if is_convolution(reader) else 1
    columns = model.get_parameter(piece.param).shape[1]
    return torch.cat([piece.index + group * columns for group in range(groups)], dim=1)


def _readers(group: UnitGroup) -> list[Slice]:
    """The columns of the next layers' weights that read the units: every group of channels has some."""
    return [piece for piece in group.follows if isinstance(piece, Slice) and piece.dim == 1]
