from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pruning.criteria.criterion import ANY
from pruning.errors import RecipeError
from pruning.model.passes import Passes
from pruning.options.constraints import Between, check

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class Synflow:
    """How much flows through the weight from an input of ones to the output, all weights taken positive: |w·∂R/∂w|.

    (Synaptic flow, Tanaka et al. 2020, arXiv 2006.05467.) Needs no data. R is the sum of the outputs of a float64 copy
    in which every parameter is replaced by its size and running means are 0. Scores [units]; units add up. With one
    round the score is that flow. With n rounds it is the unit's place in the order in which units are pruned, in (0,
    1]: after round k the N^(1 − k/n) units with the most flow are left of N, all others are zero, and the flow is taken
    anew. So one ranking is iterative SynFlow, all layers together, at the sparsity of every round.
    """

    rounds: Annotated[int, Between(1, 100)] = 100
    """Rounds in which units are pruned, each after a new look at what still flows; 1 looks once and may empty a layer.
    """

    formula: ClassVar[str] = "Σ |w·∂R/∂w|, in rounds"
    source: ClassVar[str] = "Tanaka 2020"
    cost: ClassVar[str] = "no pass over data: one input of ones forward and backward in each of the `rounds`"
    fits: ClassVar[tuple[str, ...]] = ANY
    layers: ClassVar[tuple[str, ...]] = ANY

    def __post_init__(self) -> None:
        check(self, "criterion")

    def passes(self, groups: Sequence[UnitGroup], train_samples: int) -> Passes:
        return Passes(self.rounds, self.rounds)

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        from pruning.criteria.synaptic_flow import Flow

        example = calibration.workload.example
        if not example.is_floating_point():
            raise RecipeError("synflow sends ones through the network, and this one takes whole numbers; use snip")
        flow = Flow(model, groups, example, calibration.device)
        values = flow.places(self.rounds) if self.rounds > 1 else flow.first
        parts = values.split([group.units for group in groups])
        return {group.name: part.float() for group, part in zip(groups, parts, strict=True)}
