"""What a session's script waits for, and how often pages poll."""

from concurrent.futures import Future
from itertools import pairwise

import pytest

from views.shared import waiting
from views.shared.server import POLL_S, POLLS_A_SECOND, SELDOM_S, poll_s
from views.shared.waiting import WaitingState, take_back_what_is_asked, waiting_for


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> WaitingState:
    made = WaitingState()
    monkeypatch.setattr(waiting, "remembered", lambda _made: made)
    return made


def test_a_newer_run_of_the_page_takes_back_what_the_older_waits_for(state: WaitingState) -> None:
    asked: Future[int] = Future()
    with waiting_for(asked):
        take_back_what_is_asked()
    assert asked.cancelled()


def test_what_was_answered_is_waited_for_no_more(state: WaitingState) -> None:
    answered: Future[int] = Future()
    with pytest.raises(ZeroDivisionError), waiting_for(answered):
        raise ZeroDivisionError
    take_back_what_is_asked()
    assert not answered.cancelled() and not state.asked


def test_many_people_together_poll_no_more_often_than_the_server_can_bear() -> None:
    times = [poll_s(others) for others in range(300)]
    assert times[0] == POLL_S and times[-1] == SELDOM_S
    assert all(before <= after for before, after in pairwise(times))
    for others in (10, 30, 59):
        assert (others + 1) / poll_s(others) <= POLLS_A_SECOND
