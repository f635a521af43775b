"""What a search is for: plain values, no torch."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pruning.errors import RecipeError
from pruning.options.constraints import Between, check

CostKind = Literal["parameters", "bytes", "macs", "latency"]
COSTS: tuple[CostKind, ...] = get_args(CostKind)
"""What a network costs: parameters that are not zero, bytes of its file, MACs, or milliseconds on this machine."""

ShareLeft = Annotated[float, Between(0.0, 1.0, above=True, empty="no limit")]
LargestDrop = Annotated[float, Between(0.0, 1.0, beyond=True, empty="no limit")]


@dataclass(frozen=True)
class Goal:
    """The smallest cost with at most so much lost, or the highest score within a budget; with both, the second.

    Examples:
        >>> half_as_slow = Goal("latency", budget=0.5, max_drop=0.01)
    """

    cost: CostKind = "macs"
    """What becomes small."""
    budget: ShareLeft | None = None
    """How much of the dense network's cost may be left."""
    max_drop: LargestDrop | None = None
    """How much worse than dense the score may be, in the unit of the metric: 0.01 is a point of accuracy."""

    def __post_init__(self) -> None:
        if self.cost not in COSTS:
            raise RecipeError(f"cost is {self.cost!r}; use one of {', '.join(COSTS)}")
        check(self, "goal")
        if self.budget is None and self.max_drop is None:
            raise RecipeError("a search needs a limit: say how much may be left (budget) or lost (max_drop), or both")
