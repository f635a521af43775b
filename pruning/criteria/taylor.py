from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pruning.criteria.criterion import ANY
from pruning.criteria.passes import CALIBRATION_SAMPLES
from pruning.model.passes import Passes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.criteria.gradients import Values
    from pruning.model.units import UnitGroup
    from pruning.workload import Batch, Task


@dataclass(frozen=True)
class Taylor:
    """How much the loss would change if the unit were zero, by its Taylor series: squared, averaged over batches.

    (Molchanov et al. 2019, arXiv 1906.10771.) Scores [units]. First order is eq. 8: (Σ w·∂L/∂w)². Second order is eq. 7
    with the diagonal of the empirical Fisher matrix F for the Hessian: (Σ w·∂L/∂w − ½·F·w²)², F the mean over the batch
    of the squared gradients of single samples.
    """

    order: Literal[1, 2] = 1
    """1: the gradient alone; 2: curvature too, for which every sample needs its own gradient."""

    formula: ClassVar[str] = "(Σ w·∂L/∂w)², to second order (Σ w·∂L/∂w − ½·F·w²)²"
    source: ClassVar[str] = "Molchanov 2019"
    cost: ClassVar[str] = (
        "one forward and one backward pass over 1024 training samples; second order two, one of them sample by sample"
    )
    fits: ClassVar[tuple[str, ...]] = ANY
    layers: ClassVar[tuple[str, ...]] = ANY

    def passes(self, groups: Sequence[UnitGroup], train_samples: int) -> Passes:
        samples = min(CALIBRATION_SAMPLES, train_samples)
        return Passes(samples, samples).times(self.order)

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        import torch

        from pruning.criteria.gradients import ranked_params

        names = ranked_params(groups)
        totals = {group.name: torch.zeros(group.units, device=calibration.device) for group in groups}
        batches = 0
        for batch in calibration.batches():
            changes = self._changes(model, names, batch, calibration.workload.task)
            for group in groups:
                totals[group.name] += group.sums(changes).square()
            batches += 1
        return {name: total / max(batches, 1) for name, total in totals.items()}

    def _changes(self, model: nn.Module, names: Sequence[str], batch: Batch, task: Task) -> Values:
        """By how much the loss of the batch drops with each weight set to zero."""
        from pruning.criteria.gradients import gradients, squared_gradients

        weights = {name: model.get_parameter(name).detach().float() for name in names}
        changes = {name: weights[name] * slope for name, slope in gradients(model, names, batch, task).items()}
        if self.order == 2:
            for name, curvature in squared_gradients(model, names, batch, task).items():
                changes[name] -= 0.5 * curvature * weights[name].square()
        return changes
