"""What a benchmark returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Target:
    """A bound on a figure; one of the two is set."""

    at_least: float | None = None
    at_most: float | None = None

    def met(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"


@dataclass(frozen=True)
class Report:
    """Figures by name, with their unit in the name, and the targets of some of them.

    `rows` are a table of their own above the figures, where there are any: each has a value for the same columns.
    """

    figures: Mapping[str, float]
    targets: Mapping[str, Target] = field(default_factory=dict[str, Target])
    rows: Sequence[Mapping[str, str | float]] = ()
