"""Questions that are answered a slice at a time, each answer better than the last, as long as somebody asks."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pruning.errors import PruningError
from pruning.execution.supervisor import WorkerSlot

T = TypeVar("T")

FORGOTTEN_S = 8.0  # a page asks at least every three seconds: a tab that was closed does not
TRIED_AGAIN_S = 3.0  # after an error
MOST_LOSSES = 2
LONG_S = 2.0  # of processor time: accuracy on all samples of a small network takes one
MOVED_S = 0.03  # what is lost when another worker begins anew
LONG_TURN = 4
BEGUN_TURN = 9  # no multiple of LONG_TURN: what is long and what is not both get some of these


@dataclass(frozen=True)
class Asker:
    """Who asks, and where on a page.

    All that one person asks has one person's turns. A newer question at the same place takes the place of the older.
    """

    person: str
    place: str


@dataclass(frozen=True)
class Slices:
    """Seconds that a worker is asked to spend on the first answer, and on each that follows."""

    first: float = 0.0
    following: float = 0.05


@dataclass(frozen=True)
class Progress(Generic[T]):
    """What is known by now: nothing yet (`outcome` is None), something, all there is to know, or what went wrong.

    `others` is how many other people's questions are being answered in turn with this one. Called later, `more_by_now`
    says whether there is a first outcome, one of another kind, or the end, that this does not tell yet.
    """

    outcome: T | None
    over: bool = False
    error: PruningError | None = None
    others: int = 0
    more_by_now: Callable[[], bool] = field(default=lambda: False, compare=False)

    def known(self) -> T | None:
        """The outcome so far. Raises what went wrong."""
        if self.error is not None:
            raise self.error
        return self.outcome


@dataclass(eq=False)
class Followed:
    """One question, whoever asks it: `function(session, *arguments, seconds)` again and again until it is complete."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    slots: Sequence[WorkerSlot]
    """The workers that may answer; the one that has begun goes on, since it keeps how far it came."""
    complete: Callable[[Any], bool]
    slices: Slices
    began: float
    """When it was first asked."""
    charged: bool = False
    """Whether its time is counted to those who ask."""
    askers: dict[Asker, float] = field(default_factory=dict[Asker, float])
    """Who asks, and when each did so last."""
    served: float = 0.0
    """Seconds of processor time that workers have spent on it: a full machine makes no question a long one."""
    slot: WorkerSlot | None = None
    running: bool = False
    outcome: Any = None
    error: PruningError | None = None
    over: bool = False
    losses: int = 0
    failed_at: float = 0.0
    milestones: int = 0
    """How many were reached: a first outcome, one of another kind than before, and the end."""
    news: threading.Event = field(default_factory=threading.Event)
    """Set once there is a first outcome, or an error."""

    def wanted(self, now: float) -> bool:
        return any(now - last < FORGOTTEN_S for last in self.askers.values())

    def may_go_to(self, slot: WorkerSlot) -> bool:
        """Whether this worker may give the next answer: the one that has begun, or any where little was done.

        So no worker stands idle beside one for whom many wait.
        """
        return self.slot in (None, slot) or self.served <= MOVED_S

    def seconds(self) -> float:
        """How long the next slice is."""
        return self.slices.first if self.outcome is None else self.slices.following

    def answered(self, outcome: Any, seconds: float) -> None:
        self.running = False
        self.served += seconds
        if outcome is not None:
            over = self.complete(outcome)
            self.milestones += (type(outcome) is not type(self.outcome)) + (over and not self.over)
            self.outcome, self.over = outcome, over
            self.news.set()

    def failed(self, error: PruningError, now: float) -> None:
        self.running = False
        self.error, self.over, self.failed_at = error, True, now
        self.milestones += 1
        self.news.set()

    def may_be_tried_again(self, asker: Asker, now: float) -> bool:
        """Whether it failed, and not just now for this asker, whose page polls."""
        return self.error is not None and (asker not in self.askers or now - self.failed_at > TRIED_AGAIN_S)

    def lost(self, error: PruningError, now: float) -> None:
        """The worker is gone, and with it how far it came; a question that kills its worker is not asked for ever."""
        self.running, self.slot = False, None
        self.losses += 1
        if self.losses >= MOST_LOSSES:
            self.failed(error, now)


def next_followed(followed: Sequence[Followed], slot: WorkerSlot, now: float, sent: int) -> Followed | None:
    """Of all that go on, the question for this idle worker; None if there is none. `sent` counts the slices so far.

    Those without a first answer come first. Of the others the one that was asked first is done first: were all to go on
    together, all would be done late, and what a moving slider leaves behind would have been begun in vain. What has
    taken seconds already keeps nobody waiting: it gets one slice in four, and all people's questions go on at one pace.
    One slice in nine goes to what has begun whatever is asked anew: who asks something else without end ends nothing.
    """
    ready = [one for one in followed if not one.running and slot in one.slots and one.may_go_to(slot)]
    if sent % BEGUN_TURN == 0:
        ready = [one for one in ready if one.outcome is not None] or ready
    if not ready:
        return None
    long = [one for one in ready if one.served > LONG_S]
    short = [one for one in ready if one.served <= LONG_S]
    if long and (not short or (sent % LONG_TURN == 0 and all(one.outcome is not None for one in short))):
        pace = _pace_of_people(followed, now)
        return max(long, key=lambda one: max(pace[asker.person] for asker in one.askers))
    earlier = _earlier_questions(followed)
    return min(short, key=lambda one: (one.outcome is not None, earlier[id(one)], one.began), default=None)


def _earlier_questions(followed: Sequence[Followed]) -> dict[int, int]:
    """Question, by its id() -> how many others its people have begun before: the first of everybody comes first."""
    begun: dict[str, int] = {}
    found: dict[int, int] = {}
    for one in sorted(followed, key=lambda one: one.began):
        people = {asker.person for asker in one.askers}
        found[id(one)] = min(begun.get(person, 0) for person in people)
        for person in people:
            begun[person] = begun.get(person, 0) + 1
    return found


def _pace_of_people(followed: Sequence[Followed], now: float) -> dict[str, float]:
    """Person -> seconds of asking for each second that workers spent on what they ask."""
    waited: dict[str, float] = {}
    served: dict[str, float] = {}
    for one in followed:
        for person in {asker.person for asker in one.askers}:
            waited[person] = max(waited.get(person, 0.0), now - one.began)
            served[person] = served.get(person, 0.0) + one.served + one.slices.following * one.running
    return {person: waited[person] / (served[person] + 0.01) for person in waited}
