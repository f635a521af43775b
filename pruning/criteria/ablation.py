from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from pruning.criteria.criterion import ANY
from pruning.model.passes import Passes
from pruning.options.constraints import Between, check

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class Ablation:
    """What the unit is worth, measured: how far the loss rises when this one unit is removed.

    The unit and all that is pruned with it are set to zero, and the loss is averaged over the same training samples as
    that of the whole network. Scores [units]; below zero where the network does better without the unit. This is the
    measure that Molchanov et al. 2017 (arXiv 1611.06440) call the oracle. One forward pass for each unit, done for many
    units at once (torch.func.vmap) where torch can and it pays.
    """

    samples: Annotated[int, Between(1, 10000)] = 256
    """Training samples that the loss is measured on: each unit costs a forward pass over all of them."""

    formula: ClassVar[str] = "L(without the unit) − L"
    source: ClassVar[str] = "Molchanov 2017 (oracle)"
    cost: ClassVar[str] = "a forward pass over `samples` training samples for each unit"
    fits: ClassVar[tuple[str, ...]] = (
        "channels",
        "heads",
        "rnn_units",
        "rnn_gates",
        "layers",
        "embedding_dimensions",
        "kernels",
    )
    layers: ClassVar[tuple[str, ...]] = ANY

    def __post_init__(self) -> None:
        check(self, "criterion")

    def passes(self, groups: Sequence[UnitGroup], train_samples: int) -> Passes:
        return Passes(min(self.samples, train_samples) * (1 + sum(group.units for group in groups)))

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        from pruning.criteria.unit_removal import rises

        return rises(model, groups, replace(calibration, samples=self.samples))
