"""Workloads of a few samples around one given network, for scores that one can work out on paper."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pruning.criteria import Criterion, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.granularities import Channels, Granularity
from pruning.model.units import UnitGroup
from pruning.workload import Classification, TensorSplit, Workload
from tests.networks import CPU


def work(model: nn.Module, inputs: Tensor, targets: Sequence[int] = ()) -> Workload:
    """All splits are these samples; the network is built as it is given."""
    classes = torch.tensor(targets or [0] * len(inputs))
    split = TensorSplit(inputs, classes)
    return Workload("hand", lambda: model, inputs[:1], split, split, split, Classification(("a", "b", "c")))


def scored(
    criterion: Criterion,
    data: Workload,
    granularity: Granularity | None = None,
    model: nn.Module | None = None,
    groups: Sequence[UnitGroup] = (),
    **how,
) -> dict[str, Tensor]:
    """Group name -> scores of the workload's network, or of `model`; of the granularity's groups, or of `groups`."""
    model = model or data.build().eval()
    groups = groups or (granularity or Channels()).sorted_out(model, data.example)[0]
    return unit_scores(criterion, model, groups, Calibration(data, CPU, **how))
