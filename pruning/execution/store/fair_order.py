"""Whose run is next, so that one session with many runs does not keep the others waiting."""

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    """A queued run, whose it is, and the run that would be carried out for it: itself, or one that several share."""

    run: str
    session: str
    carrier: str


def fair_order(queued: Sequence[Turn], last_start: Mapping[str, int]) -> list[Turn]:
    """The turns in which queued runs start: the session whose last start is longest ago first, then round and round.

    `queued` holds the oldest first; `last_start` counts starts. Sessions absent from it have never had a turn and come
    first, among themselves in the order in which they asked. What several share starts at the earliest of their turns,
    and takes none of the others'.
    """
    waiting: dict[str, deque[tuple[int, Turn]]] = {}
    for place, turn in enumerate(queued):
        waiting.setdefault(turn.session, deque()).append((place, turn))
    sessions = [(last_start.get(session, -1), own[0][0], session) for session, own in waiting.items()]
    heapq.heapify(sessions)
    starts, begun, order = max(last_start.values(), default=0), set[str](), list[Turn]()
    while sessions:
        last, place, session = heapq.heappop(sessions)
        own = waiting[session]
        while own and own[0][1].carrier in begun:
            own.popleft()
        if own and own[0][0] == place:
            _, turn = own.popleft()
            begun.add(turn.carrier)
            order.append(turn)
            starts += 1
            last = starts
        if own:  # of equals the one whose oldest run asked first: that may be another one by now
            heapq.heappush(sessions, (last, own[0][0], session))
    return order
