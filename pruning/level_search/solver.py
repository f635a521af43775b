"""One level for each group: the smallest of one quantity with another at most so much, solved exactly.

A mixed-integer linear program for HiGHS (Huangfu and Hall 2018), by `scipy.optimize.milp`. A pair of levels has a
variable of its own that is 1 where both are chosen; the rows and columns of a pair's variables add up to those of its
groups (Sherali and Adams 1990), which leaves little between the linear relaxation and the solution.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pruning.level_search.additive import Additive, Values

GAP = 1e-4
"""How far the solution may be from the best, as a share of it."""
LONGEST_S = 20.0
FEW = 13
"""Levels of a group among which is chosen first, where groups are coupled."""


def smallest(what: Additive, other: Additive, at_most: float, gap: float = GAP) -> dict[str, int] | None:
    """Group -> the place of its level, so that `what` is smallest while `other` is at most so much.

    Args:
        what: The quantity that becomes small.
        other: The quantity that is limited; of the same groups and levels.
        at_most: Its limit.
        gap: How far the solution may be from the smallest, as a share of it.

    Returns:
        None where no choice of levels keeps to the limit.

    Examples:
        >>> loss = Additive(0.0, {"a": np.array([0.0, 3.0]), "b": np.array([0.0, 1.0])})
        >>> cost = Additive(1.0, {"a": np.array([0.0, -0.4]), "b": np.array([0.0, -0.4])})
        >>> smallest(loss, cost, at_most=0.6)
        {'a': 0, 'b': 1}
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    columns = _Columns(what, other)
    rows = list(columns.rows())
    matrix = columns.matrix(rows)
    ends: Any = np.array([row.equals for row in rows])
    limited = columns.weights(other)
    scale = max(float(np.abs(limited).max()), 1e-30)
    small = columns.weights(what)
    found = milp(
        small / max(float(np.abs(small).max()), 1e-30),
        constraints=[
            LinearConstraint(matrix, ends, ends),
            LinearConstraint(limited[None] / scale, -np.inf, (at_most - other.base) / scale),
        ],
        bounds=Bounds(0.0, 1.0),
        integrality=columns.whole,
        options={"mip_rel_gap": gap, "time_limit": LONGEST_S},
    )
    return None if found.x is None else columns.chosen(found.x)


def smallest_in_steps(what: Additive, other: Additive, at_most: float, gap: float = GAP) -> dict[str, int] | None:
    """As `smallest`, where groups have many levels: among few of them, and then among all that are near.

    With pairs the program grows with the square of the levels; without, all are solved for at once.
    """
    if not (what.pairs or other.pairs):
        return smallest(what, other, at_most, gap)
    lengths = {name: len(values) for name, values in what.single.items()}
    steps = {name: max(1, math.ceil((length - 1) / (FEW - 1))) for name, length in lengths.items()}
    few = {name: [*range(0, length - 1, steps[name]), length - 1] for name, length in lengths.items()}
    first = smallest(what.among(few), other.among(few), at_most, gap)
    if first is None:
        return None
    around = {name: _near(few[name][place], steps[name], lengths[name]) for name, place in first.items()}
    second = smallest(what.among(around), other.among(around), at_most, gap)
    found, places = (first, few) if second is None else (second, around)
    return {name: places[name][place] for name, place in found.items()}


def _near(place: int, step: int, length: int) -> list[int]:
    """The places around this one, as far as its neighbours among the few."""
    return list(range(max(0, place - step), min(length, place + step + 1)))


@dataclass(frozen=True)
class _Row:
    """A linear equation: columns with their weights, and what they add up to."""

    columns: list[int]
    weights: list[float]
    equals: float


class _Columns:
    """Which variable stands where: a level of a group, or a pair of levels."""

    def __init__(self, *quantities: Additive) -> None:
        self._lengths = {name: len(values) for name, values in quantities[0].single.items()}
        self._first: dict[str, int] = {}
        self._pairs: dict[tuple[str, str], int] = {}
        at = 0
        for name, length in self._lengths.items():
            self._first[name] = at
            at += length
        self.whole = np.ones(at)
        for first, second in dict.fromkeys(pair for quantity in quantities for pair in quantity.pairs):
            self._pairs[first, second] = at
            at += self._lengths[first] * self._lengths[second]
        self.whole = np.concatenate([self.whole, np.zeros(at - len(self.whole))])

    def weights(self, quantity: Additive) -> Values:
        """What each variable adds to the quantity."""
        found = np.zeros(len(self.whole))
        for name, values in quantity.single.items():
            found[self._first[name] : self._first[name] + len(values)] = values
        for pair, values in quantity.pairs.items():
            found[self._pairs[pair] : self._pairs[pair] + values.size] = values.ravel()
        return found

    def rows(self) -> Iterator[_Row]:
        """One level of each group; and a pair of levels where both are chosen."""
        for name, length in self._lengths.items():
            begin = self._first[name]
            yield _Row(list(range(begin, begin + length)), [1.0] * length, 1.0)
        for (first, second), begin in self._pairs.items():
            down, across = self._lengths[first], self._lengths[second]
            for one in range(down):
                own = [begin + one * across + other for other in range(across)]
                yield _Row([*own, self._first[first] + one], [*[1.0] * across, -1.0], 0.0)
            for other in range(across):
                own = [begin + one * across + other for one in range(down)]
                yield _Row([*own, self._first[second] + other], [*[1.0] * down, -1.0], 0.0)

    def matrix(self, rows: list[_Row]) -> Any:
        """The rows' weights, sparse [rows, columns]."""
        from scipy.sparse import csr_array

        at = [place for place, row in enumerate(rows) for _ in row.columns]
        columns = [column for row in rows for column in row.columns]
        weights = [weight for row in rows for weight in row.weights]
        return csr_array((weights, (at, columns)), shape=(len(rows), len(self.whole)))

    def chosen(self, values: Values) -> dict[str, int]:
        return {
            name: int(values[self._first[name] : self._first[name] + length].argmax())
            for name, length in self._lengths.items()
        }
