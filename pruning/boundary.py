"""How wide an interval must be to hold at every look at a growing sample."""

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from statistics import NormalDist

import numpy as np

_POINTS = 64
FIRST_LOOK = 100


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


@cache
def repeated_z(total: int, level: float = 0.95) -> float:
    """How many standard errors hold at all looks of `looks(total)` together with probability `level`.

    A mean of the first n of `total` samples drawn without replacement moves like Brownian motion at the time
    n / (1 - n / total), the inverse of its variance; the last look is exact.
    """
    times = [n / (1 - n / total) for n in looks(total)[:-1]]
    return pocock(times, level) if times else 0.0


def pocock(times: Sequence[float], level: float) -> float:
    """z such that Brownian motion stays within ±z·√t at all the times with probability `level`.

    The constant boundary of Pocock (1977), found by the numerical integration of Armitage, McPherson and Rowe (1969)
    for times that need not be equally spaced.
    """
    low = NormalDist().inv_cdf((1 + level) / 2)
    high = NormalDist().inv_cdf(1 - (1 - level) / (2 * len(times)))  # Bonferroni's is wide enough
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (low, middle) if _stays_within(times, middle) >= level else (middle, high)
    return high


def _stays_within(times: Sequence[float], z: float) -> float:
    """Probability that |W(t)| <= z·√t at all the times."""
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    reach = z * math.sqrt(times[0])
    places = reach * nodes
    density = _normal(places, times[0])
    for before, now in pairwise(times):
        mass = density * weights * reach
        reach = z * math.sqrt(now)
        later = reach * nodes
        density = _normal(later[:, None] - places[None, :], now - before) @ mass
        places = later
    return float((density * weights).sum() * reach)


def _normal(values: np.ndarray, variance: float) -> np.ndarray:
    return np.exp(-(values**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
