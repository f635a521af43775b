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
class SoftMovement:
    """Every unit has a score that rises while its weights move away from zero: what falls below a threshold is closed.

    (Sanh et al. 2020, arXiv 2005.07683, "soft movement pruning".) Scores S [units] begin at 0, where all units are
    open; the loss pays for σ(S), so that the scores of units that are not asked for sink. They learn while the network
    is trained before the first cut; then a closed unit is 0: amount zeros prunes exactly these, so that λ says how much
    is pruned. A single weight may open again; a channel that is closed behind ReLU has no slope left, and stays closed.
    """

    strength: Annotated[float, Between(0.0, 1000.0, step=0.1, above=True)] = 10.0
    """λ: the loss pays it times the mean of σ(S), in which a unit counts by its share of the values."""
    threshold: Annotated[float, Between(0.0, 0.49, step=0.01, above=True)] = 0.1
    """τ: a unit is open while σ(S) lies above it; σ(S) is 0.5 at first. 0.1 is that of the authors' code."""
    warm_up: Share = 0.0
    """The share of the training's steps over which λ rises from 0."""
    epochs: Annotated[int, Between(1, 1_000_000)] = 5
    """Passes over the training images before the first cut; the scores learn in these."""
    learning_rate: Annotated[float, Between(0.0, 10.0, step=0.01, above=True)] = 0.03
    """Of the scores (Adam); the weights have that of the tuning."""

    formula: ClassVar[str] = "L + λ Σ n · σ(S) / Σ n,  w ← w · 1[σ(S) > τ],  ∂L/∂S = Σ w · ∂L/∂(w · 1[σ(S) > τ])"
    source: ClassVar[str] = "Sanh 2020"
    cost: ClassVar[str] = "two passes over the weights a step"

    def __post_init__(self) -> None:
        check(self, "regulariser")

    @property
    def after_cuts(self) -> bool:
        return False

    def penalty(self, model: nn.Module, groups: Sequence[UnitGroup]) -> Gates:
        from pruning.training.regularisers.gates import Gates
        from pruning.training.regularisers.movement_gate import MovementGate

        gate = MovementGate(self.threshold)
        return Gates(model, groups, gate, self.strength, self.warm_up, self.learning_rate)
