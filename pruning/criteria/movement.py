from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pruning.criteria.criterion import ANY
from pruning.errors import WorkloadError
from pruning.model.passes import Passes
from pruning.options.constraints import Between, check

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.model.units import UnitGroup
    from pruning.workload import Batch


@dataclass(frozen=True)
class Movement:
    """Weights that move towards zero while the network is tuned are pruned first: −Σ over the steps of w·∂L/∂w.

    (Sanh et al. 2020, arXiv 2005.07683.) Scores [units]; a weight that grows away from zero scores high, and units add
    up. A copy of the network is tuned by plain SGD on the calibration batches in their order, again and again, in eval
    mode: no dropout, norms keep their statistics. Weights that are zero stay zero and score 0.
    """

    steps: Annotated[int, Between(1, 10_000)] = 100
    """Steps of tuning over which the movement is added up."""
    learning_rate: Annotated[float, Between(0.0, 1.0, above=True)] = 0.01
    """Learning rate of the tuning; the larger it is, the further weights move."""

    formula: ClassVar[str] = "−Σ w·∂L/∂w over the steps"
    source: ClassVar[str] = "Sanh 2020"
    cost: ClassVar[str] = "`steps` forward and backward passes over a batch of 128 training samples"
    fits: ClassVar[tuple[str, ...]] = ANY
    layers: ClassVar[tuple[str, ...]] = ANY

    def __post_init__(self) -> None:
        check(self, "criterion")

    def passes(self, groups: Sequence[UnitGroup], train_samples: int) -> Passes:
        return Passes(1, 1).times(self.steps * min(128, train_samples))

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        import torch

        from pruning.criteria.gradients import gradients, ranked_params

        tuned = copy.deepcopy(model)
        trained = {name: weight for name, weight in tuned.named_parameters() if weight.requires_grad}
        ranked = ranked_params(groups)
        first = {id(weight): name for name, weight in trained.items()}  # a shared weight goes by its first name
        pruned = {name: tuned.get_parameter(name).detach() == 0 for name in ranked}
        totals = {name: torch.zeros_like(tuned.get_parameter(name), dtype=torch.float32) for name in ranked}
        for _, batch in zip(range(self.steps), _again_and_again(calibration), strict=False):
            slopes = gradients(tuned, list(trained), batch, calibration.workload.task)
            with torch.no_grad():
                for name in ranked:
                    weight = tuned.get_parameter(name)
                    totals[name] -= weight.float() * slopes[first[id(weight)]]
                for name, weight in trained.items():
                    weight.sub_((self.learning_rate * slopes[name]).to(weight.dtype))
                for name in ranked:
                    tuned.get_parameter(name).masked_fill_(pruned[name], 0.0)
        for name, total in totals.items():
            if not bool(total.isfinite().all()):
                raise WorkloadError(
                    f"{name}: its movement is not finite, the tuning diverges; choose a criterion.learning_rate below "
                    f"{self.learning_rate:g}"
                )
        return {group.name: group.sums(totals) for group in groups}


def _again_and_again(calibration: Calibration) -> Iterator[Batch]:
    """The calibration batches in their order, without end and without holding more than one."""
    while True:
        yield from calibration.batches()
