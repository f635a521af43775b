"""pruning.scores: how important a criterion finds each unit of a model."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pruning.api.choices import recipe_of
from pruning.api.inputs import Data, measured_on, without_data
from pruning.criteria import Criterion, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.errors import WorkloadError
from pruning.granularities import Granularity
from pruning.model.devices import default_device
from pruning.model.preparation import open_model
from pruning.pipeline.eligibility import scorable_groups
from pruning.workload import Batch, Task, Workload


def scores(
    model: nn.Module | Workload,
    data: Data | None = None,
    *,
    criterion: str | Criterion = "magnitude",
    granularity: str | Granularity = "weights",
    seed: int = 0,
    task: Task | None = None,
    example: Tensor | None = None,
    device: str | torch.device | None = None,
) -> dict[str, Tensor]:
    """How important each unit is: the higher, the later it is pruned.

    Args:
        model: A trained module, or a Workload, which has its own data and task.
        data: Samples with their targets, as for `prune`; a criterion looks at 1024 of them at most. Criteria that look
            at weights alone need none.
        criterion: What says how important a unit is, by name or as an object.
        granularity: What the units are, by name or as an object.
        seed: Draws the samples that the criterion looks at.
        task: Loss and score of the model; classification if it is left out.
        example: One input [1, *input], for a model without data whose first layer is not Linear.
        device: Where to compute; the accelerator if there is one.

    Returns:
        Layer -> scores, float32 in the layout of its units: [out, in, ...] for weights, else [units].

    Raises:
        RecipeError: There is no such criterion or granularity, or they do not go together.
        WorkloadError: The model or the data cannot be used, or the criterion looks at data and there is none.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 3, bias=False))
        >>> _ = net[0].weight.data.copy_(torch.tensor([[1., -2.], [0., 4.]]))
        >>> scores(net)["0"]
        tensor([[1., 2.],
                [0., 4.]])
        >>> scores(net, granularity="channels")["0"]
        tensor([3., 4.])

    Source:
        Each criterion names its own: `python -m pruning choices`.
    """
    chosen = recipe_of("", criterion=criterion, granularity=granularity)  # refuses what does not go together
    important, units = chosen.criterion, chosen.granularity
    workload = with_or_without_data(model, data, task, example)
    if isinstance(model, nn.Module) and data is None:
        workload = replace(workload, train=_NoSamples())
    place = default_device() if device is None else torch.device(device)
    network = open_model(replace(workload, train=workload.validation), place)
    groups, _ = scorable_groups(important, units, network, workload.example.to(place))
    found = unit_scores(important, network, groups, Calibration(workload, place, seed))
    return {group.name: found[group.name].reshape(group.layout) for group in groups}


@dataclass(frozen=True)
class _NoSamples:
    """The training split of a model that came without data: it says so to whoever looks."""

    def __len__(self) -> int:
        return 1

    def batch(self, index: Tensor, device: torch.device, generator: torch.Generator | None = None) -> Batch:
        raise WorkloadError(
            "the criterion looks at data and there is none; give data=(inputs, targets), or choose a criterion that "
            "looks at weights alone, such as magnitude"
        )


def with_or_without_data(
    model: nn.Module | Workload, data: Data | None, task: Task | None, example: Tensor | None
) -> Workload:
    """The model with the samples that were given, else with one made-up sample."""
    if isinstance(model, Workload) or data is not None:
        return measured_on(model, data, task)
    return without_data(model, example)
