"""What a score means: its name, which way is better, its range. Needs no torch, for events and pages carry it."""

import math
from dataclasses import dataclass
from typing import Literal

from pruning.errors import WorkloadError


@dataclass(frozen=True)
class Metric:
    """What the scores of a task are: accuracy, a squared error, a log-likelihood.

    Scores are shown in their own unit. Those from 0 to 1 are shares, and are written in percent.

    Attributes:
        name: What reports and pages call it.
        better: Which way is better: "higher" for an accuracy, "lower" for an error.
        low: The lowest score that there can be; None where there is none.
        high: The highest score that there can be; None where there is none.

    Raises:
        WorkloadError: The name is empty, `better` is another word, or `low` is not below `high`.

    Examples:
        >>> error = Metric("MSE", better="lower", low=0.0)
        >>> error.drop(+0.25), error.bounded
        (0.25, False)
        >>> ACCURACY.drop(-0.25), ACCURACY.percent
        (0.25, True)
    """

    name: str
    better: Literal["higher", "lower"] = "higher"
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise WorkloadError("a metric has no name; give one, such as Metric('MSE', better='lower')")
        if self.better not in ("higher", "lower"):
            raise WorkloadError(f"better of the metric {self.name} is {self.better!r}; use 'higher' or 'lower'")
        for end in ("low", "high"):
            value = getattr(self, end)
            if value is not None and not math.isfinite(value):
                raise WorkloadError(f"{end} of the metric {self.name} is {value}; leave it out where there is no bound")
        if not self.span > 0:
            raise WorkloadError(
                f"the metric {self.name} lies between {self.low:g} and {self.high:g}; let low be below high"
            )

    @property
    def percent(self) -> bool:
        """Whether scores are shares of 1, written in percent and their changes in points."""
        return (self.low, self.high) == (0.0, 1.0)

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest score that there can be; infinite where there is none."""
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high

    @property
    def span(self) -> float:
        """How far the lowest and the highest score are apart; infinite where there is no such score."""
        low, high = self.ends
        return high - low

    @property
    def bounded(self) -> bool:
        """Whether there is a lowest and a highest score."""
        return math.isfinite(self.span)

    def drop(self, change: float) -> float:
        """How much worse a score has become that changed by so much; negative where it has become better."""
        return -change if self.better == "higher" else change

    def tolerance(self, dense: float) -> float:
        """A change that counts as small where nobody says what does; `dense` is the score of the dense network.

        One point of a score in percent. Else a round number: about a hundredth of the range, or a twentieth of the
        dense score where there is no range.
        """
        if self.percent:
            return 0.01
        return _round_below(self.span / 100 if self.bounded else abs(dense) / 20)


ACCURACY = Metric("accuracy", low=0.0, high=1.0)
"""Of a task that does not say what its scores are."""


def _round_below(value: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above the value; 0.01 where that is 0."""
    if value == 0:
        return 0.01
    exponent = math.floor(math.log10(value))
    return next(found for digit in (5, 2, 1) if (found := float(f"{digit}e{exponent}")) <= value or digit == 1)
