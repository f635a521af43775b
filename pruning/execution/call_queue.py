"""What pages ask of workers: it queues in the page's process until one is free, and people take turns."""

import pickle
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

from cachetools.keys import hashkey

from pruning.errors import JobError, PruningError
from pruning.execution.followed import Asker, Followed, Progress, Slices, next_followed
from pruning.execution.hourly_time import HourlyTime
from pruning.execution.recent_shares import QUICK, SLOW, RecentShares, has_had_its_share
from pruning.execution.server_state import Question
from pruning.execution.supervisor import WorkerSlot

LOST = "the interactive worker was lost; it has been restarted: repeat what you did"
CLOSED = "the program is ending: start it again"
ENDED = "ended by whoever runs the server; ask again if you still need it"
KEPT = 1000  # questions whose answers are remembered

Urgency = Literal["now", "ahead"]
"""now: somebody waits for it. ahead: somebody may ask for it later; a worker at a time, when there is nothing else."""


@dataclass(eq=False)
class _Call:
    function: Callable[..., Any]
    request: bytes
    key: Hashable
    slots: Sequence[WorkerSlot]
    """The workers that may answer."""
    urgency: Urgency
    askers: list[str] = field(default_factory=list[str])
    answers: list[Future[Any]] = field(default_factory=list[Future[Any]])
    """Of each asker, in the same order, until it is sent."""

    def without(self, person: str) -> list[Future[Any]]:
        """Take a person's part out of a call that waits; returns the answers that they wait for."""
        pairs = list(zip(self.askers, self.answers, strict=True))
        self.askers = [asker for asker in self.askers if asker != person]
        self.answers = [answer for asker, answer in pairs if asker != person]
        return [answer for asker, answer in pairs if asker == person]


class CallQueue:
    """Calls wait here until a worker is free: only then can they no longer be taken back.

    First what somebody waits for, then first answers of what is followed, then better ones; people in turn. Who asks
    what another has asked gets the same answer.
    """

    def __init__(self, cores: int = 0, hourly_s: float = 0.0) -> None:
        """`cores` are shared by the workers that are busy; 0: each computes with as many threads as it has.

        `hourly_s` is what one person's charged questions may take within an hour; 0: no limit.
        """
        self._lock = threading.Lock()
        self._cores = cores
        self._hourly = HourlyTime(hourly_s)
        self._waiting: list[_Call] = []
        self._followed: OrderedDict[Hashable, Followed] = OrderedDict()
        """All that is remembered, what was asked last at the end."""
        self._going_on: dict[int, Followed] = {}
        """By their id(), those of which somebody may want to know more: few, and looked at for every slice."""
        self._asked_at: dict[Asker, Followed] = {}
        self._idle: list[WorkerSlot] = []
        self._busy: dict[WorkerSlot, tuple[_Call | Followed, float]] = {}
        self._spent = RecentShares()
        self._served: dict[str, int] = {}
        """Person -> the number of the call of theirs that was sent last."""
        self._sent = 0
        self._slices = 0
        self._closed = False

    def call(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        named: dict[str, Any],
        slots: Sequence[WorkerSlot],
        person: str = "",
        urgency: Urgency = "now",
    ) -> Future[Any]:
        """Hand the call to the first of the workers that is idle when it is this person's turn."""
        answer: Future[Any] = Future()
        try:
            request = pickle.dumps((function, arguments, named))
        except Exception as error:  # pickle raises whatever the object's own code raises
            answer.set_exception(JobError(f"the call cannot be sent to the worker ({error}); send plain values"))
            return answer
        key = (function, request, tuple(map(id, slots)), urgency)
        with self._lock:
            if not self._closed:
                call = next((waiting for waiting in self._waiting if waiting.key == key), None)
                if call is None:
                    call = _Call(function, request, key, slots, urgency)
                    self._waiting.append(call)
                call.askers.append(person)
                call.answers.append(answer)
                self._dispatch()
                return answer
        answer.set_exception(JobError(CLOSED))
        return answer

    def follow(
        self,
        asker: Asker,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        slots: Sequence[WorkerSlot],
        complete: Callable[[Any], bool],
        slices: Slices,
        wait: float,
        charged: bool = False,
    ) -> Progress[Any]:
        """What is known of `function(session, *arguments, seconds)`, and that this asker wants to know more.

        Waits for so many seconds where nothing is known yet. What is `charged` ends for who has had an hour's share.
        """
        now = time.monotonic()
        key = hashkey(function, *arguments)  # which remembers its hash: that of a recipe takes long
        with self._lock:
            one = self._followed.get(key)
            if charged and (one is None or not one.over) and (why := self._hourly.refusal(asker.person, now)):
                self._leave(asker)
                return Progress(None if one is None else one.outcome, True, why)
            if one is None or one.may_be_tried_again(asker, now):
                one = self._followed[key] = Followed(function, arguments, slots, complete, slices, now, charged)
            self._followed.move_to_end(key)
            if not one.wanted(now) and not one.over:
                one.began, one.served = now, 0.0  # it was abandoned: whoever takes it up has waited for nothing yet
            self._leave(asker, one)
            self._asked_at[asker] = one
            one.askers[asker] = now
            if self._closed:
                one.failed(JobError(CLOSED), now)
            if not one.over:
                self._going_on[id(one)] = one
            self._forget_oldest(now)
            self._dispatch()
        if wait and not one.over:
            one.news.wait(wait)
        return self._progress(one, asker.person)

    def unfollow(self, asker: Asker) -> None:
        """Nothing more is asked at this place."""
        with self._lock:
            self._leave(asker)

    def answering(self) -> dict[WorkerSlot, Question]:
        """What each busy worker answers now."""
        now = time.monotonic()
        with self._lock:
            return {slot: _question(work, now - sent) for slot, (work, sent) in self._busy.items()}

    def questions(self) -> list[Question]:
        """What waits for a worker, and what is gone on with in turns, the oldest first."""
        now = time.monotonic()
        with self._lock:
            calls = [_question(call, 0.0) for call in self._waiting if call.urgency == "now"]
            followed = [_question(one, now - one.began) for one in self._wanted(now)]
        return sorted([*calls, *followed], key=lambda question: -question.seconds)

    def end_questions(self, person: str) -> int:
        """Answer what this person asks with a sentence, and go on with it for others only; returns how many there were.

        A slice that a worker is at is not interrupted. A page that asks again begins anew.
        """
        now = time.monotonic()
        with self._lock:
            ended = [answer for call in self._waiting for answer in call.without(person)]
            self._waiting = [call for call in self._waiting if call.askers]
            mine = [one for one in self._wanted(now) if any(asker.person == person for asker in one.askers)]
            for one in mine:
                self._end_for(person, one, now)
        _answer(_taken(ended), None, JobError(ENDED))
        return len(ended) + len(mine)

    def _end_for(self, person: str, one: Followed, now: float) -> None:
        theirs = [asker for asker in one.askers if asker.person == person]
        for asker in theirs:
            del one.askers[asker]
            self._asked_at.pop(asker, None)
        if one.askers:
            return
        # what their pages find when they ask next; in its place, for a worker may be at a slice of the other
        asked = dict.fromkeys(theirs, now)
        over = Followed(one.function, one.arguments, one.slots, one.complete, one.slices, now, askers=asked)
        over.failed(JobError(ENDED), now)
        self._followed[hashkey(one.function, *one.arguments)] = over
        self._asked_at.update(dict.fromkeys(theirs, over))

    def ready(self, slot: WorkerSlot) -> None:
        with self._lock:
            self._idle.append(slot)
            self._dispatch()

    def received(self, slot: WorkerSlot, message: bytes) -> None:
        with self._lock:
            work, _sent = self._busy.pop(slot)
            self._idle.append(slot)
            if isinstance(work, _Call):
                self._dispatch()  # before the answer is read, so that the worker need not wait for that
        result, error, seconds = _read(message)
        if isinstance(work, _Call):
            _answer(work.answers, result, error)
            return
        now = time.monotonic()
        with self._lock:
            self._spent.spend(SLOW if work.charged else QUICK, seconds, now)
            self._charge(work, seconds, now)
            if error is None:
                work.answered(result, seconds)
            else:
                work.failed(error, now)
            self._dispatch()

    def _charge(self, one: Followed, seconds: float, now: float) -> None:
        people = {asker.person for asker in one.askers} if one.charged else set[str]()
        for person in people:
            self._hourly.spend(person, seconds / len(people), now)

    def lost(self, slot: WorkerSlot) -> None:
        with self._lock:
            work, _ = self._busy.pop(slot, (None, 0.0))
            if slot in self._idle:
                self._idle.remove(slot)
            for one in self._followed.values():
                if one.slot is slot and one is not work:
                    one.slot = None
            error = JobError(slot.ended_because or LOST)
            if isinstance(work, Followed):
                work.lost(error, time.monotonic())
        if isinstance(work, _Call):
            _answer(work.answers, None, error)

    def gave_up(self, sentence: str) -> None:
        self._fail_all(sentence)

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._fail_all(CLOSED)

    def _fail_all(self, sentence: str) -> None:
        with self._lock:
            calls, self._waiting = self._waiting, []
            for one in self._followed.values():
                if not one.over:
                    one.failed(JobError(sentence), time.monotonic())
        for call in calls:
            _answer(_taken(call.answers), None, JobError(sentence))

    def _progress(self, one: Followed, person: str) -> Progress[Any]:
        now = time.monotonic()
        with self._lock:
            people = {asker.person for other in self._wanted(now) for asker in other.askers}
            told = one.milestones
            return Progress(one.outcome, one.over, one.error, len(people - {person}), lambda: one.milestones > told)

    def _leave(self, asker: Asker, another: Followed | None = None) -> None:
        """The asker asks something else, or nothing."""
        before = self._asked_at.pop(asker, None)
        if before is not None and before is not another:
            before.askers.pop(asker, None)

    def _wanted(self, now: float) -> list[Followed]:
        """What somebody wants to know more of. What nobody has asked for a while is left."""
        for one in [one for one in self._going_on.values() if one.over or not one.wanted(now)]:
            del self._going_on[id(one)]
            if not one.over:
                for asker in one.askers:
                    self._asked_at.pop(asker, None)
                one.askers.clear()
        return list(self._going_on.values())

    def _forget_oldest(self, now: float) -> None:
        while len(self._followed) > KEPT:
            key, oldest = next(iter(self._followed.items()))
            if oldest.running or oldest.wanted(now):
                return
            del self._followed[key]
            for asker in oldest.askers:
                self._asked_at.pop(asker, None)

    def _dispatch(self) -> None:
        """Give what waits to idle workers. The lock is held."""
        now = time.monotonic()
        for slot in list(self._idle):
            work = self._next_call(slot, "now") or self._next_followed(slot, now) or self._next_ahead(slot)
            if work is None:
                continue
            self._idle.remove(slot)
            self._busy[slot] = work, now
            if isinstance(work, Followed):
                work.running, work.slot = True, slot
                self._slices += 1
                request = pickle.dumps((work.function, (*work.arguments, work.seconds()), {}))
            else:
                request = work.request
            slot.send(pickle.dumps((self._threads(), request)))

    def _next_call(self, slot: WorkerSlot, urgency: Urgency) -> _Call | None:
        """The call of the person who was served longest ago; those that were taken back by all are dropped."""
        mine = [call for call in self._waiting if slot in call.slots and call.urgency == urgency]
        for call in sorted(mine, key=lambda call: min(self._served.get(person, 0) for person in call.askers)):
            self._waiting.remove(call)
            call.answers = _taken(call.answers)
            if call.answers:
                self._sent += 1
                self._served.update(dict.fromkeys(call.askers, self._sent))
                return call
        return None

    def _next_followed(self, slot: WorkerSlot, now: float) -> Followed | None:
        wanted = self._wanted(now)
        if has_had_its_share(slot, wanted, self._cores, self._spent):
            return None
        return next_followed(wanted, slot, now, self._slices)

    def _next_ahead(self, slot: WorkerSlot) -> _Call | None:
        if any(isinstance(work, _Call) and work.urgency == "ahead" for work, _ in self._busy.values()):
            return None
        return self._next_call(slot, "ahead")

    def _threads(self) -> int:
        """With how many threads the next worker computes: its part of the cores. 0: as it likes."""
        return max(1, self._cores // len(self._busy)) if self._cores else 0


def _question(work: _Call | Followed, seconds: float) -> Question:
    if isinstance(work, _Call):
        return Question(_in_words(work.function, ()), tuple(dict.fromkeys(filter(None, work.askers))), seconds)
    people = tuple(dict.fromkeys(asker.person for asker in work.askers))
    return Question(_in_words(work.function, work.arguments), people, seconds)


def _in_words(function: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    """`estimate mlp_128`: the function, and the workload where an argument names it."""
    named = [getattr(argument, "workload", None) for argument in arguments]
    return " ".join([function.__name__.replace("_", " "), *(name for name in named[:1] if isinstance(name, str))])


def _read(message: bytes) -> tuple[Any, PruningError | None, float]:
    """What a worker has sent: a result, or what went wrong, and how much processor time it took."""
    try:
        return pickle.loads(message)
    except Exception as failure:
        return None, JobError(f"the worker's answer cannot be read ({failure}); start the program again"), 0.0


def _taken(answers: list[Future[Any]]) -> list[Future[Any]]:
    """Those that somebody still waits for; from now on they can no longer be taken back."""
    return [answer for answer in answers if answer.set_running_or_notify_cancel()]


def _answer(answers: list[Future[Any]], result: Any, error: PruningError | None) -> None:
    for answer in answers:
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)
