"""From the drop that is expected to the one that is measured, and how far the two lie apart."""

from dataclasses import dataclass, field

OPEN = 0.3
"""The standard deviation of a drop from the estimated one, as a share of it, before cuts were measured."""
GUESSES = 2.0
"""As how many measured cuts the first guess counts."""


@dataclass(eq=False)
class LossEstimate:
    """Estimated drops beside measured ones, both in the unit of the score. `small` is a drop that counts as small."""

    small: float
    seen: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    def learn(self, estimated: float, drop: float) -> None:
        """A cut whose drop was estimated has cost so much."""
        self.seen.append((estimated, drop))

    @property
    def ratio(self) -> float:
        """The measured drop for an estimated one of 1."""
        before = GUESSES * self.small / 2
        estimated = before + sum(each for each, _ in self.seen)
        return max((before + sum(drop for _, drop in self.seen)) / estimated, 0.1)

    def drop(self, estimated: float) -> tuple[float, float]:
        """The drop that is to be expected, and the half-width of its 95 % interval."""
        apart = [(drop - self.ratio * each) / (self.ratio * each + self.small / 4) for each, drop in self.seen]
        share = ((GUESSES * OPEN**2 + sum(each * each for each in apart)) / (GUESSES + len(apart))) ** 0.5
        expected = self.ratio * estimated
        return expected, 1.96 * share * expected

    def estimated_at(self, drop: float) -> float:
        """The estimated drop of cuts that cost so much."""
        return drop / self.ratio
