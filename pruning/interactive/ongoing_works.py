"""What a worker has begun for its askers and goes on with in slices: it is let go when nobody asks, or for room."""

from collections.abc import Hashable
from typing import Protocol, TypeVar


class Ongoing(Protocol):
    """Work that is gone on with a slice at a time, on copies of its own."""

    bytes: int
    """Of the copies."""

    @property
    def abandoned(self) -> bool:
        """Whether it has ended because nobody asked for it."""
        ...

    def give_up(self) -> None:
        """Let go of the copies: who asks again begins anew."""
        ...


Work = TypeVar("Work", bound=Ongoing)


class OngoingWorks:
    """Works by what was asked for. Together they take no more than so many bytes: who asks for one criterion after the
    other ends their own earlier ones.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._works: dict[Hashable, Ongoing] = {}
        """What was gone on with last at the end."""

    def __len__(self) -> int:
        return len(self._works)

    def taken_out(self, kind: type[Work], key: Hashable) -> Work | None:
        """The work, if it was begun and goes on: whoever takes it out keeps it again, or ends it."""
        work = self._works.pop((kind, key), None)
        return work if isinstance(work, kind) and not work.abandoned else None

    def room_for(self, size: int) -> bool:
        """Whether so many bytes more fit beside what goes on; always where nothing does."""
        going_on = [work.bytes for work in self._works.values() if not work.abandoned]
        return not going_on or size + sum(going_on) <= self._most_bytes

    def keep(self, key: Hashable, work: Ongoing) -> None:
        """Go on with it when it is asked for again. Where there is no room, what was asked for longest ago ends."""
        self._works = {each: other for each, other in self._works.items() if not other.abandoned}
        taken = work.bytes + sum(other.bytes for other in self._works.values())
        while taken > self._most_bytes and self._works:
            oldest = self._works.pop(next(iter(self._works)))
            oldest.give_up()
            taken -= oldest.bytes
        self._works[type(work), key] = work
