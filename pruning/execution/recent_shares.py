"""Who has had how much of the workers' time of late.

What takes long has workers of its own, on the cores of the others: while sliders wait for those, it gets what the
people who ask for it are due.
"""

from collections.abc import Sequence

from pruning.execution.followed import Followed
from pruning.execution.supervisor import WorkerSlot

HALVED_S = 10.0
LEAST_SHARE = 0.05
SLOW, QUICK = "slow", "quick"


class RecentShares:
    """Seconds of processor time by what they were spent on; what is ten seconds old counts half."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        self._at = 0.0

    def spend(self, on: str, seconds: float, now: float) -> None:
        faded = 2.0 ** ((self._at - now) / HALVED_S)
        self._spent = {each: faded * spent for each, spent in self._spent.items()}
        self._spent[on] = self._spent.get(on, 0.0) + seconds
        self._at = now

    def share(self, of: str) -> float:
        """Of all that was spent of late, in [0, 1]; 0 where nothing was."""
        total = sum(self._spent.values())
        return self._spent.get(of, 0.0) / total if total > 0 else 0.0


def has_had_its_share(slot: WorkerSlot, wanted: Sequence[Followed], cores: int, spent: RecentShares) -> bool:
    """Whether this worker leaves the next slice to others.

    It answers what is slow (`charged`), quick questions keep all `cores` busy, and slow ones have had more of late than
    the share of people who ask them, and than a twentieth.

    Where nobody counts `cores`, they are 0: workers are on machines of their own.
    """
    if not cores or not any(one.charged and slot in one.slots for one in wanted):
        return False
    quick = [one for one in wanted if not one.charged and slot not in one.slots]
    if min(len(quick), len({id(other) for one in quick for other in one.slots})) < cores:
        return False
    slow = {asker.person for one in wanted if one.charged for asker in one.askers}
    everybody = slow | {asker.person for one in quick for asker in one.askers}
    return spent.share(SLOW) > max(len(slow) / len(everybody), LEAST_SHARE)
