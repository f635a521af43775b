"""A quantity of a cut that is a sum: over the groups' levels, and over pairs of groups that one tensor couples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Values = np.ndarray[Any, np.dtype[np.float64]]
Levels = Mapping[str, Sequence[int]]
"""Group -> how many of its units are pruned at each level, ascending from 0."""
Chosen = Mapping[str, int]
"""Group -> the place of its level among its levels."""

NOTHING = 1e-12
NEARLY = 1e-3
"""How far a quantity may be from what its shape says, as a share of the most."""


@dataclass(frozen=True, eq=False)
class Additive:
    """What a cut costs, or what it loses: `base`, and more for each group's level and each pair of groups' levels.

    Attributes:
        base: Of the network as it is.
        single: Group -> what each level adds [levels].
        pairs: Two groups -> what their levels add beyond that [levels, levels]; only groups that are coupled.

    Examples:
        >>> two = Additive(1.0, {"a": np.array([0.0, -0.5])})
        >>> two.of({"a": 1})
        0.5
    """

    base: float
    single: Mapping[str, Values]
    pairs: Mapping[tuple[str, str], Values] = field(default_factory=dict[tuple[str, str], Values])

    def of(self, chosen: Chosen) -> float:
        """The sum for one level of each group."""
        alone = sum(float(values[chosen[name]]) for name, values in self.single.items())
        both = sum(float(values[chosen[first], chosen[second]]) for (first, second), values in self.pairs.items())
        return self.base + alone + both

    def among(self, places: Mapping[str, Sequence[int]]) -> "Additive":
        """The same with fewer levels of each group: those at these places."""
        single = {name: values[list(places[name])] for name, values in self.single.items()}
        pairs = {pair: values[np.ix_(places[pair[0]], places[pair[1]])] for pair, values in self.pairs.items()}
        return Additive(self.base, single, pairs)


def tabulated(exact: Callable[[Mapping[str, int]], float], levels: Levels) -> Additive:
    """The sum that `exact` is: of how many units of each group are pruned it gives a quantity of the network.

    A tensor's size is a product of its lengths: what a group adds is a parabola, and what two groups add beyond that is
    in proportion to the product of what is pruned of both. Each is tried at a place of its own; where it is not so, all
    levels are asked.
    """
    base = exact(dict.fromkeys(levels, 0))
    nothing = dict.fromkeys(levels, 0)
    single = {
        name: _curve(counts, lambda count, name=name: exact({**nothing, name: count}) - base)
        for name, counts in levels.items()
    }
    names, pairs = list(levels), dict[tuple[str, str], Values]()
    for place, first in enumerate(names):
        for second in names[place + 1 :]:

            def together(one: int, other: int, first: str = first, second: str = second) -> float:
                both = exact({**nothing, first: levels[first][one], second: levels[second][other]})
                return both - base - float(single[first][one]) - float(single[second][other])

            found = _products(levels[first], levels[second], together)
            if found is not None:
                pairs[first, second] = found
    return Additive(base, single, pairs)


def _curve(counts: Sequence[int], more: Callable[[int], float]) -> Values:
    """What a group's levels add [levels]: the parabola through three of them, if a fourth lies on it."""
    places = sorted({0, len(counts) // 4, len(counts) // 2, len(counts) - 1})
    if len(places) < 4:
        return np.array([more(count) if count else 0.0 for count in counts])
    start, quarter, half, end = (counts[place] for place in places)
    seen = np.array([0.0, more(half), more(end)])
    found: Values = np.polyval(np.polyfit([start, half, end], seen, 2), np.array(counts, dtype=float)).astype(
        np.float64
    )
    found[0] = 0.0
    if abs(more(quarter) - found[places[1]]) <= NEARLY * abs(seen[2]):
        return found
    return np.array([more(count) if count else 0.0 for count in counts])


def _products(first: Sequence[int], second: Sequence[int], together: Callable[[int, int], float]) -> Values | None:
    """What two groups add beyond either alone [levels, levels]; None where that is nothing."""
    most = together(len(first) - 1, len(second) - 1)
    if abs(most) < NOTHING:
        return None
    found = most * np.outer(np.array(first) / first[-1], np.array(second) / second[-1])
    half = len(first) // 2, len(second) // 2
    if abs(together(*half) - found[half]) <= NEARLY * abs(most):
        return found
    return np.array([[together(one, other) for other in range(len(second))] for one in range(len(first))])
