"""Whose run is next, so that one session with many runs does not keep the others waiting."""

from collections import deque
from collections.abc import Mapping, Sequence


def fair_order(queued: Sequence[tuple[str, str]], last_start: Mapping[str, int]) -> list[str]:
    """The order in which queued runs start: the session whose last start is longest ago first, then round and round.

    `queued` holds (run, session), the oldest first; `last_start` counts starts. Sessions absent from it have never had
    a turn and come first, among themselves in the order in which they asked.
    """
    waiting: dict[str, deque[str]] = {}
    for run, session in queued:
        waiting.setdefault(session, deque()).append(run)
    # sorted() is stable and the sessions stand in the order of their oldest run
    turns = deque(sorted(waiting, key=lambda session: last_start.get(session, -1)))
    order: list[str] = []
    while turns:
        session = turns.popleft()
        order.append(waiting[session].popleft())
        if waiting[session]:
            turns.append(session)
    return order
