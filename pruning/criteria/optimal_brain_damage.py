from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pruning.criteria.criterion import ANY
from pruning.model.passes import Passes
from pruning.options.constraints import Between, check

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.criteria.gradients import Values
    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class OptimalBrainDamage:
    """How much the loss would rise if the weight were zero, by its curvature alone: ½·w²·∂²L/∂w², summed for a unit.

    (LeCun, Denker and Solla 1990, "Optimal brain damage".) Scores [units]. Second derivatives are estimated: by the
    squared gradients of single samples (the empirical Fisher matrix, never negative), or by random probes of the
    Hessian (Hutchinson; Bekas et al. 2007): unbiased, noisy, and negative where the loss bends downwards.
    """

    diagonal: Literal["fisher", "hutchinson"] = "fisher"
    """How curvature is estimated: by the squared gradients of single samples, or by random probes of the Hessian."""
    samples: Annotated[int, Between(1, 65_536)] = 1024
    """Training samples looked at."""
    probes: Annotated[int, Between(1, 1000)] = 8
    """Random probes that are averaged, with hutchinson only: the more, the less noise."""

    formula: ClassVar[str] = "Σ ½·w²·∂²L/∂w²"
    source: ClassVar[str] = "LeCun 1990"
    cost: ClassVar[str] = (
        "fisher: one forward and one backward pass over `samples` training samples, each by itself; "
        "hutchinson: `probes` times one forward and two backward passes"
    )
    fits: ClassVar[tuple[str, ...]] = ANY
    layers: ClassVar[tuple[str, ...]] = ANY

    def __post_init__(self) -> None:
        check(self, "criterion")

    def passes(self, groups: Sequence[UnitGroup], train_samples: int) -> Passes:
        samples = min(self.samples, train_samples)
        if self.diagonal == "fisher":
            return Passes(samples, samples)
        return Passes(samples, 2 * samples).times(self.probes)

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        from pruning.criteria.gradients import fisher_diagonal, ranked_params

        chosen = replace(calibration, samples=self.samples)
        if self.diagonal == "fisher":
            curvatures = fisher_diagonal(model, ranked_params(groups), chosen)
        else:
            curvatures = self._probed(model, groups, chosen)
        rises = {
            name: 0.5 * model.get_parameter(name).detach().float().square() * curvature
            for name, curvature in curvatures.items()
        }
        return {group.name: group.sums(rises) for group in groups}

    def _probed(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> Values:
        """The Hessian's diagonal as the mean of v·(H v) over vectors v of random signs."""
        import torch

        from pruning.criteria.gradients import all_weights, mean_hessian_product

        names = all_weights(model, groups)
        total = {name: torch.zeros_like(model.get_parameter(name), dtype=torch.float32) for name in names}
        for probe in range(self.probes):
            signs = {name: _signs(model.get_parameter(name), f"{calibration.seed} {probe} {name}") for name in names}
            products = mean_hessian_product(model, signs, calibration)
            for name in names:
                total[name] += signs[name] * products[name] / self.probes
        return total


def _signs(parameter: Tensor, lot: str) -> Tensor:
    """−1 or 1 for each value, drawn by the text's own generator: float32 of the parameter's shape."""
    import torch

    generator = torch.Generator().manual_seed(zlib.crc32(lot.encode()))
    return torch.randint(0, 2, parameter.shape, generator=generator).mul(2).sub(1).float().to(parameter.device)
