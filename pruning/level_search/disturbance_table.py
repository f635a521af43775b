"""What each group alone disturbs, measured at some levels: between them interpolated, added up, and corrected.

What several groups disturb together is about the sum of what each disturbs alone, and the drop is about in proportion.
Cuts that were measured together say how far it is: each group gets a factor of its own, by ridge regression on the
logarithms, which makes drops of disturbances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pruning.level_search.additive import Additive, Chosen, Levels, Values

SURE = 0.1
"""How far, in logarithms, the sum may be from what was measured together."""
FACTOR, GUESS = 0.35, 1.5
"""How far, in logarithms, a group's factor is from that of all, and that of all from the first guess."""
LEAST = 1e-9

OF_UNITS = (0.5, 0.25, 0.75, 0.125, 0.875)
"""Shares of the units of a group at which it is measured alone, in this order: of units that are removed."""
OF_WEIGHTS = (0.9, 0.6, 0.98)
"""The same of units that are set to zero, of which there are many."""
MOST_LEVELS = 192
"""Of a group: each number of units, or where there are more as many numbers."""


def measured_at(units: int, removable: bool) -> tuple[int, ...]:
    """How many units of a group are pruned where it is measured alone, what tells most first; one at least stays."""
    counts = (min(round(share * units), units - 1) for share in (OF_UNITS if removable else OF_WEIGHTS))
    return tuple(dict.fromkeys(count for count in counts if count > 0))


def levels_up_to(most: int, units: int, removable: bool) -> tuple[int, ...]:
    """How many units may be pruned, from 0 to `most`: every number, or where there are many numbers that are apart
    evenly, of units that are set to zero in the logarithm of what is left.
    """
    if most < MOST_LEVELS:
        return tuple(range(most + 1))
    if removable:
        shares = np.linspace(0.0, most / units, MOST_LEVELS)
    else:
        shares = 1.0 - np.exp(np.linspace(0.0, np.log(1.0 - most / units), MOST_LEVELS))
    return tuple(sorted({round(float(share) * units) for share in shares}))


@dataclass(eq=False)
class DisturbanceTable:
    """Group -> how many units were pruned of it alone -> what that disturbed; and the drops of cuts of several groups.

    `costs` is a first guess of the drop for a disturbance of 1.
    """

    units: Mapping[str, int]
    costs: float
    alone: dict[str, dict[int, float]]
    together: list[tuple[Mapping[str, int], float]] = field(default_factory=list[tuple[Mapping[str, int], float]])

    def of(self, name: str, pruned: Sequence[int]) -> Values:
        """What a group alone disturbs: monotone, through what was measured. [len(pruned)]"""
        from scipy.interpolate import PchipInterpolator

        counts = np.array([0, *sorted(self.alone[name])])
        seen = np.maximum.accumulate([0.0, *(max(self.alone[name][int(count)], 0.0) for count in counts[1:])])
        # squares grow with the square of what is lost, and what is left counts by its logarithm
        curve = PchipInterpolator(-np.log1p(-counts / self.units[name]), np.sqrt(seen))
        asked = -np.log1p(-np.minimum(np.array(pruned), counts[-1]) / self.units[name])
        return np.square(curve(asked))

    def drops(self, levels: Levels, factors: Mapping[str, float]) -> Additive:
        """The drop for all levels: the sum of what groups disturb, each times its factor."""
        return Additive(0.0, {name: self.of(name, counts) * factors[name] for name, counts in levels.items()})

    def factors(self, draw: np.random.Generator | None = None) -> dict[str, float]:
        """Each group's drop for a disturbance of 1, as cuts that were measured together say; or drawn from what they
        leave open.

        (Laplace's approximation, as Chapelle and Li 2011 for Thompson sampling.)
        """
        from scipy.optimize import least_squares

        names = list(self.units)
        parts = np.array([
            [float(self.of(name, [pruned[name]])[0]) for name in names] for pruned, _ in self.together
        ]).reshape(-1, len(names))  # fmt: skip
        seen = np.log([max(drop, LEAST) for _, drop in self.together])

        def residuals(logs: Values) -> Values:
            sums = np.log(np.maximum(parts @ np.exp(logs[1:]), LEAST)) + logs[0]
            return np.concatenate([(sums - seen) / SURE, (logs[:1] - np.log(self.costs)) / GUESS, logs[1:] / FACTOR])

        found = least_squares(residuals, np.array([np.log(self.costs), *[0.0] * len(names)]))
        logs = found.x
        if draw is not None:
            logs = draw.multivariate_normal(logs, np.linalg.inv(found.jac.T @ found.jac))
        return dict(zip(names, np.exp(logs[1:] + logs[0]).tolist(), strict=True))


def pruned_by(levels: Levels, chosen: Chosen) -> dict[str, int]:
    """Group -> how many of its units are pruned at the level that was chosen."""
    return {name: levels[name][place] for name, place in chosen.items()}
