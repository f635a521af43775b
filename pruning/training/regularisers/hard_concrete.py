from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pruning.options.constraints import Between, Share, check

if TYPE_CHECKING:
    from torch import nn

    from pruning.model.units import UnitGroup
    from pruning.training.regularisers.gates import Gates


@dataclass(frozen=True)
class HardConcrete:
    """Every unit has a gate that learns whether to be open: the loss pays for the share of the values left (L0).

    (Louizos et al. 2018, arXiv 1712.01312: the hard concrete distribution with β = 2/3, γ = −0.1, ζ = 1.1.) Gates draw
    while the network is trained before the first cut; then each has one value in [0, 1], which goes into the weights. A
    unit whose gate is closed is 0: amount zeros prunes exactly these, so that λ says how much is pruned.
    """

    strength: Annotated[float, Between(0.0, 1000.0, step=0.1, above=True)] = 1.0
    """λ: the loss pays it for the whole network, and for a part of the values that part of it."""
    warm_up: Share = 0.0
    """The share of the training's steps over which λ rises from 0."""
    epochs: Annotated[int, Between(1, 1_000_000)] = 5
    """Passes over the training images before the first cut; the gates learn in these."""
    learning_rate: Annotated[float, Between(0.0, 10.0, step=0.01, above=True)] = 0.1
    """Of the gates (Adam); the weights have that of the tuning."""

    formula: ClassVar[str] = "L + λ Σ n · P(z ≠ 0) / Σ n,  w ← z w,  P(z ≠ 0) = σ(log α − β log(−γ/ζ))"
    source: ClassVar[str] = "Louizos 2018"
    cost: ClassVar[str] = "two passes over the weights a step"

    def __post_init__(self) -> None:
        check(self, "regulariser")

    @property
    def after_cuts(self) -> bool:
        return False

    def penalty(self, model: nn.Module, groups: Sequence[UnitGroup]) -> Gates:
        from pruning.training.regularisers.gates import Gates
        from pruning.training.regularisers.hard_concrete_gate import HardConcreteGate

        return Gates(model, groups, HardConcreteGate(), self.strength, self.warm_up, self.learning_rate)
