"""How wide an interval must be to hold at every look at a growing sample."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from statistics import NormalDist
from typing import Protocol

import numpy as np

_POINTS = 64
FIRST_LOOK = 100
LEVEL = 0.95


@cache
def looks(total: int) -> tuple[int, ...]:
    """Sample sizes at which an estimate may be looked at: 100, 141, 200, 283, ... by the square root of 2, and `total`.

    None lies within 100 of the end: so few unseen samples are too lumpy for an interval that is nearly closed.
    """
    sizes: list[int] = []
    size = float(FIRST_LOOK)
    while round(size) + FIRST_LOOK <= total:
        sizes.append(round(size))
        size *= math.sqrt(2)
    return (*sizes, total)


class Interval(Protocol):
    """From the variance of an estimate, in squared scores, to the half-width of its 95 % interval.

    `z` is how many standard errors that is at the end.
    """

    @property
    def z(self) -> float: ...

    def half_width(self, variance: float) -> float: ...

    def enough(self, half_width: float, samples: int, total: int) -> int:
        """About how many of `total` samples it takes in all, from how wide the interval is after so many."""
        ...


@dataclass(frozen=True)
class AtAllLooks:
    """Holds at all of `looks(total)` together, wherever one stops: as many standard errors at each (Pocock 1977).

    A mean of the first n of `total` samples drawn without replacement moves like Brownian motion at the time
    n / (1 - n / total), the inverse of its variance; the last look is exact.
    """

    total: int

    @property
    def z(self) -> float:
        return _z_at_all_looks(self.total)

    def half_width(self, variance: float) -> float:
        return self.z * math.sqrt(variance)

    def enough(self, half_width: float, samples: int, total: int) -> int:
        return total


@dataclass(frozen=True)
class UntilNarrow:
    """Holds at all looks on the way to an interval of the half-width `asked`, in scores, at which one stops.

    What is known of the estimate, the inverse of its variance, is Brownian motion's time; where it ends is known
    beforehand. So the looks on the way need take little of the 5 %, and the last is only a ninth wider than that of a
    sample looked at once: z·t^(-1/4) standard errors at the share t of the time (Wang and Tsiatis 1987). Of 10 000
    samples that takes 0.65 to 0.75 of those that `AtAllLooks` takes.
    """

    asked: float

    @property
    def z(self) -> float:
        return _z_until_narrow()

    def half_width(self, variance: float) -> float:
        if variance == 0:
            return 0.0
        share = min((self.asked / self.z) ** 2 / variance, 1.0)
        return self.z * share**-0.25 * math.sqrt(variance)

    def enough(self, half_width: float, samples: int, total: int) -> int:
        more = (half_width / self.asked) ** (4 / 3)  # the variance is to be divided by this
        return math.ceil(1 / (1 / total + (1 / samples - 1 / total) / more)) if more > 1 else samples


@cache
def _z_at_all_looks(total: int) -> float:
    times = [n / (1 - n / total) for n in looks(total)[:-1]]
    return constant(times, LEVEL, 0.5) if times else 0.0


@cache
def _z_until_narrow() -> float:
    # the last look is the first after enough samples have been evaluated: about a tenth past it
    return constant([*(2 ** (look / 2) for look in range(-14, 1)), 1.1], LEVEL, 0.25)


def constant(times: Sequence[float], level: float, shape: float) -> float:
    """c such that Brownian motion stays within ±c·t^shape at all the times t with probability `level`.

    Past the time 1 within ±c·√t: as many standard errors as there.

    The family of Wang and Tsiatis (1987), shape 1/2 Pocock's (1977) and 0 that of O'Brien and Fleming (1979); found by
    the numerical integration of Armitage, McPherson and Rowe (1969) for times that need not be equally spaced. Where
    the last time is 1, c is the number of standard errors there.
    """
    low = NormalDist().inv_cdf((1 + level) / 2) * min(times[-1], 1.0) ** (0.5 - shape)
    high = 2 * low * NormalDist().inv_cdf(1 - (1 - level) / (2 * len(times)))  # Bonferroni's is wide enough
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if _stays_within(times, middle, shape) >= level else (middle, high)
    return high


def _stays_within(times: Sequence[float], c: float, shape: float) -> float:
    """Probability that |W(t)| <= c·t^shape at all the times, past the time 1 that |W(t)| <= c·√t."""
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    reach = c * times[0] ** (shape if times[0] <= 1 else 0.5)
    places = reach * nodes
    density = _normal(places, times[0])
    for before, now in pairwise(times):
        mass = density * weights * reach
        reach = c * now ** (shape if now <= 1 else 0.5)
        later = reach * nodes
        density = _normal(later[:, None] - places[None, :], now - before) @ mass
        places = later
    return float((density * weights).sum() * reach)


def _normal(values: np.ndarray, variance: float) -> np.ndarray:
    return np.exp(-(values**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
