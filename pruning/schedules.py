"""In how many rounds, along which curve? One class a schedule, one line in the table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pruning.errors import RecipeError


class Schedule(Protocol):
    """Gives the share of the amount that has fallen after each round; the last is 1."""

    def progress(self) -> Sequence[float]: ...


@dataclass(frozen=True)
class OneShot:
    """Everything falls in one round."""

    def progress(self) -> Sequence[float]:
        return [1.0]


@dataclass(frozen=True)
class Polynomial:
    """Much falls early and little late: after round t of n, 1 − (1 − t/n)^power of the amount has fallen.

    (Zhu and Gupta 2017, arXiv 1710.01878, eq. 1, with initial sparsity 0; they use power 3.)
    """

    rounds: int = 5
    """Rounds of pruning, each followed by tuning."""
    power: float = 3.0
    """1 is a straight line; larger values prune more in the first rounds."""

    def __post_init__(self) -> None:
        if not 1 <= self.rounds <= 1000:
            raise RecipeError(f"schedule.rounds is {self.rounds}; it lies between 1 and 1000")
        if not 0 < self.power < float("inf"):
            raise RecipeError(f"schedule.power is {self.power}; it is a number above 0")

    def progress(self) -> Sequence[float]:
        return [1.0 - (1.0 - t / self.rounds) ** self.power for t in range(1, self.rounds + 1)]


SCHEDULES: dict[str, type[Schedule]] = {"one_shot": OneShot, "polynomial": Polynomial}
