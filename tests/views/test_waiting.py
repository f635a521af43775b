"""How a page's script waits, and how often pages poll."""

import time
from concurrent.futures import Future
from itertools import pairwise

import pytest

from pruning.errors import JobError
from views.shared import waiting
from views.shared.server import POLL_S, POLLS_A_SECOND, SELDOM_S, poll_s
from views.shared.waiting import waited, waited_until


class DrawnAnew(BaseException):
    """As Streamlit's own, which nothing of ours catches."""


def test_a_run_that_waits_ends_when_the_page_is_drawn_anew_and_takes_back_what_it_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def drawn_anew() -> None:
        raise DrawnAnew

    monkeypatch.setattr(waiting, "get_run_yield_check", lambda: drawn_anew)
    asked: Future[int] = Future()
    with pytest.raises(DrawnAnew):
        waited(asked, 60.0)
    assert asked.cancelled()
    with pytest.raises(DrawnAnew):
        waited_until(lambda: 1, lambda _now: False, 60.0)


def test_an_answer_is_given_and_an_error_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "get_run_yield_check", lambda: None)
    answered, failed = Future[int](), Future[int]()
    answered.set_result(7)
    failed.set_exception(JobError("lost"))
    assert waited(answered, 1.0) == 7
    with pytest.raises(JobError, match="lost"):
        waited(failed, 1.0)


def test_who_waits_for_too_long_is_told_and_asks_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "get_run_yield_check", lambda: None)
    asked: Future[int] = Future()
    with pytest.raises(JobError, match="no answer within 0 s; choose a smaller model"):
        waited(asked, 0.01)
    assert asked.cancelled()


def test_what_is_known_is_looked_at_until_it_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "get_run_yield_check", lambda: None)
    seen = iter(range(100))
    assert waited_until(lambda: next(seen), lambda now: now == 3, 60.0) == 3
    began = time.monotonic()
    assert waited_until(lambda: 5, lambda _now: False, 0.0) == 5
    assert time.monotonic() - began < 30.0


def test_many_people_together_poll_no_more_often_than_the_server_can_bear() -> None:
    times = [poll_s(others) for others in range(300)]
    assert times[0] == POLL_S and times[-1] == SELDOM_S
    assert all(before <= after for before, after in pairwise(times))
    for others in (10, 30, 59):
        assert (others + 1) / poll_s(others) <= POLLS_A_SECOND
