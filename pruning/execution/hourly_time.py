"""What workers' time each person's questions took within the last hour."""

from collections import deque

from pruning.durations import duration
from pruning.errors import PatienceError

HOUR_S = 3600.0
MOST = 1000
"""People whose entries are looked through for old ones when there are more."""
STEP_S = 60.0  # what is spent within a minute is one entry


class HourlyTime:
    """Seconds of workers' time by person. Times are of a monotonic clock."""

    def __init__(self, allowed_s: float) -> None:
        """`allowed_s` is what one person may have within an hour; 0: no limit."""
        self._allowed_s = allowed_s
        self._spent: dict[str, deque[tuple[float, float]]] = {}
        """Person -> (when, seconds) by minute, the oldest first."""

    def spend(self, person: str, seconds: float, now: float) -> None:
        if not self._allowed_s:
            return
        if len(self._spent) > MOST:
            for other in list(self._spent):
                self.spent(other, now)  # which forgets who has spent nothing for an hour
        spent = self._spent.setdefault(person, deque())
        if spent and now - spent[-1][0] < STEP_S:
            spent[-1] = spent[-1][0], spent[-1][1] + seconds
        else:
            spent.append((now, seconds))

    def spent(self, person: str, now: float) -> float:
        """Seconds within the hour before `now`; 0 where there is no limit."""
        spent = self._spent.get(person)
        if spent is None:
            return 0.0
        while spent and now - spent[0][0] >= HOUR_S:
            spent.popleft()
        if not spent:
            del self._spent[person]
        return sum(seconds for _, seconds in spent)

    def refusal(self, person: str, now: float) -> PatienceError | None:
        """Why nothing more is computed for this person now; None where it is."""
        if not self._allowed_s or (over := self.spent(person, now) - self._allowed_s) < 0:
            return None
        again = now
        for when, seconds in self._spent[person]:
            again, over = when + HOUR_S, over - seconds
            if over < 0:
                break
        return PatienceError(
            f"your criteria, maps, repairs, searches and comparisons took {duration(self._allowed_s)} of this server's "
            f"computing within an hour, which is what one person may have (PRUNING_SCORING_S_PER_HOUR); go on in "
            f"{duration(again - now)}, or ask whoever runs the server for more"
        )
