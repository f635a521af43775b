"""What one person's questions may take of the workers within an hour."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning.errors import PatienceError
from pruning.execution import call_queue, hourly_time
from pruning.execution.call_queue import CallQueue
from pruning.execution.followed import Asker, Progress
from pruning.execution.hourly_time import HourlyTime
from tests.execution.queueing import Clock, Worker, asked, spend, workers


def test_what_was_spent_an_hour_ago_counts_no_more():
    time = HourlyTime(100.0)
    time.spend("ann", 60.0, 0.0)
    time.spend("ann", 50.0, 1800.0)
    time.spend("ben", 99.0, 0.0)
    assert time.spent("ann", 1800.0) == 110.0
    assert time.refusal("ben", 1800.0) is None and time.refusal("nobody", 1800.0) is None
    why = time.refusal("ann", 1800.0)
    assert (
        why is not None and "took 1\u202fmin 40\u202fs of" in str(why) and "go on in 30\u202fmin 00\u202fs" in str(why)
    )
    assert time.refusal("ann", 3600.0) is None and time.spent("ann", 3600.0) == 50.0
    assert time.spent("ann", 9000.0) == 0.0


def test_zero_is_no_limit():
    time = HourlyTime(0.0)
    time.spend("ann", 10**6, 0.0)
    assert time.refusal("ann", 0.0) is None and time.spent("ann", 0.0) == 0.0  # nothing is kept for ever


def test_who_has_spent_nothing_for_an_hour_is_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hourly_time, "MOST", 10)
    time = HourlyTime(5.0)
    for person in range(100):
        time.spend(str(person), 1.0, 600.0 * person)
    assert len(time._spent) <= 11  # pyright: ignore[reportPrivateUsage]


@given(st.lists(st.tuples(st.floats(0.1, 400.0), st.floats(0.0, 300.0)), max_size=60))
def test_within_a_minute_it_is_exact_to_the_hour(spendings: list[tuple[float, float]]):
    time, now, all_of_them = HourlyTime(1.0), 0.0, list[tuple[float, float]]()
    for seconds, pause in spendings:
        now += pause
        time.spend("ann", seconds, now)
        all_of_them.append((now, seconds))
    within = sum(seconds for when, seconds in all_of_them if now - when < 3600.0)
    longer = sum(seconds for when, seconds in all_of_them if now - when < 3600.0 - 60.0)
    assert longer - 1e-6 <= time.spent("ann", now) <= within + 1e-6


def followed(queue: CallQueue, by: list[Worker], number: int, person: str, charged: bool = True) -> Progress[int]:
    return asked(queue, by, number, person, charged=charged)


def test_who_has_had_an_hours_share_goes_on_later(monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    monkeypatch.setattr(call_queue, "time", clock)
    queue = CallQueue(hourly_s=10.0)
    (worker,) = by = workers(queue)
    followed(queue, by, 1, "ann")
    followed(queue, by, 1, "ben")
    spend(clock, worker, 5, seconds=12.0)  # half of it is each one's
    followed(queue, by, 1, "ann")
    queue.unfollow(Asker("ben", "ben's tab"))
    spend(clock, worker, 6, seconds=5.0)
    over = followed(queue, by, 1, "ann")
    assert over.over and over.outcome == 6 and isinstance(over.error, PatienceError)
    spend(clock, worker, 7, seconds=0.1)  # the slice that was under way
    given_before = len(worker.given)
    assert followed(queue, by, 2, "ann").error is not None and len(worker.given) == given_before
    assert followed(queue, by, 3, "ann", charged=False).error is None  # a slider
    spend(clock, worker, 100)
    assert followed(queue, by, 2, "ben").error is None
    spend(clock, worker, 100)
    assert followed(queue, by, 2, "ann").outcome == 100  # what is known is told
    clock.now += 3600.0
    assert followed(queue, by, 4, "ann").error is None
