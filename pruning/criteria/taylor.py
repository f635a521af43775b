from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from pruning.calibration import Calibration
from pruning.units import UnitGroup


@dataclass(frozen=True)
class Taylor:
    """How much the loss would change if the unit were zero, to first order: (Σ w·∂L/∂w)², averaged over batches.

    (Molchanov et al. 2019, arXiv 1906.10771, eq. 8.) Scores [units]; for a single weight this is (w·∂L/∂w)².
    """

    order: Literal[1] = 1
    """1: the gradient alone."""

    formula: ClassVar[str] = "(Σ w·∂L/∂w)²"
    source: ClassVar[str] = "Molchanov 2019"
    cost: ClassVar[str] = "one forward and one backward pass over 1024 training samples"
    fits: ClassVar[tuple[str, ...]] = ("weights", "channels")

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        names = sorted({name for group in groups for name in group.params})
        weights = [model.get_parameter(name) for name in names]
        totals = {group.name: torch.zeros(group.units, device=calibration.device) for group in groups}
        batches = 0
        for batch in calibration.batches():
            # autograd.grad and not backward(): nothing is left behind in the parameters' .grad
            with torch.enable_grad():
                gradients = torch.autograd.grad(calibration.workload.task.loss(model, batch), weights)
            changes = {n: w.detach() * g for n, w, g in zip(names, weights, gradients, strict=True)}
            for group in groups:
                totals[group.name] += group.sums(changes).square()
            batches += 1
        return {name: total / max(batches, 1) for name, total in totals.items()}
