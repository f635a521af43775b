"""From how far outputs are moved to how much the score drops: in proportion, as the measured cuts say."""

from dataclasses import dataclass, field

BEFORE = 0.05
"""How much the first guess counts: as much as a measured cut that disturbs so much."""
OPEN = 0.3
"""The standard deviation of a drop from the estimated one, as a share of it, before cuts were measured."""
GUESSES = 2.0


@dataclass(eq=False)
class LossEstimate:
    """`guess` is the drop that a disturbance of 1 costs, before anything was measured."""

    guess: float
    seen: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    def learn(self, disturbed: float, drop: float) -> None:
        """A cut that was foreseen to disturb so much has cost so much of the score."""
        self.seen.append((disturbed, drop))

    @property
    def per_unit(self) -> float:
        """The drop for a disturbance of 1."""
        disturbed = BEFORE + sum(moved for moved, _ in self.seen)
        drops = BEFORE * self.guess + sum(drop for _, drop in self.seen)
        return max(drops / disturbed, self.guess / 20)

    def drop(self, disturbed: float) -> tuple[float, float]:
        """The drop that is to be expected, and the half-width of its 95 % interval."""
        apart = [drop / (self.per_unit * moved) - 1.0 for moved, drop in self.seen if moved > 0]
        share = ((GUESSES * OPEN**2 + sum(each * each for each in apart)) / (GUESSES + len(apart))) ** 0.5
        expected = self.per_unit * disturbed
        return expected, 1.96 * share * expected

    def disturbance_at(self, drop: float) -> float:
        """How far outputs may be moved for a drop of so much."""
        return drop / self.per_unit
