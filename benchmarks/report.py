"""What a benchmark returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["less", "more"]


@dataclass(frozen=True)
class Target:
    """A bound on a figure; one of the two is set."""

    at_least: float | None = None
    at_most: float | None = None

    @property
    def better(self) -> Direction:
        return "more" if self.at_least is not None else "less"

    def met(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"


@dataclass(frozen=True)
class Report:
    """Figures by name, with their unit in the name, and the targets of some of them.

    `rows` are a table of their own above the figures, where there are any: each has a value for the same columns.
    `better` says of figures without a target which way is better, so that they can be compared with earlier ones.
    """

    figures: Mapping[str, float]
    targets: Mapping[str, Target] = field(default_factory=dict[str, Target])
    rows: Sequence[Mapping[str, str | float]] = ()
    better: Mapping[str, Direction] = field(default_factory=dict[str, Direction])

    def direction(self, figure: str) -> Direction | None:
        """Which way the figure is better; None where nobody says."""
        target = self.targets.get(figure)
        return target.better if target else self.better.get(figure)

    @property
    def met(self) -> bool:
        """Whether every target is met."""
        return all(target.met(self.figures[name]) for name, target in self.targets.items())
