"""Work in slices: it goes on only while it is given time, and ends when nobody asks for it."""

import threading
import time
from collections.abc import Callable

import pytest

from pruning import sliced_work
from pruning.sliced_work import SlicedWork, end_abandoned, rest, working_s


@pytest.mark.parametrize(
    "begin_or_look", [end_abandoned, lambda: SlicedWork(int).advance(1.0)], ids=["looked for", "another begins"]
)
def test_work_that_nobody_asks_for_ends(begin_or_look: Callable[[], object], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sliced_work, "ABANDONED_S", 0.05)
    steps: list[int] = []

    def work():
        for step in range(1000):
            steps.append(step)
            rest()
        return "done"

    sliced, asked = SlicedWork(work), SlicedWork(lambda: [rest() for _ in range(1000)])
    assert sliced.advance(0.0) is False
    before = threading.active_count()
    time.sleep(0.1)
    assert asked.advance(0.0) is False
    assert not sliced.abandoned
    begin_or_look()
    assert sliced.abandoned and len(steps) == 1 and threading.active_count() == before - 1
    assert sliced.advance(1.0) is False and not asked.abandoned
    asked.give_up()


def test_an_error_of_the_work_is_its_result():
    def work():
        raise ZeroDivisionError("by zero")

    sliced = SlicedWork(work)
    assert sliced.advance(1.0)
    with pytest.raises(ZeroDivisionError, match="by zero"):
        sliced.result()


def test_the_time_of_resting_is_not_the_works():
    def work():
        begun = working_s()
        rest()
        return working_s() - begun

    sliced = SlicedWork(work)
    assert sliced.advance(0.0) is False
    time.sleep(0.3)
    assert sliced.advance(1.0)
    assert 0 <= sliced.result() < 0.2


def test_two_works_rest_in_turn_and_each_by_itself():
    done: list[str] = []

    def work(name: str):
        for _ in range(3):
            done.append(name)
            rest()

    one, two = SlicedWork(lambda: work("one")), SlicedWork(lambda: work("two"))
    while not (one.done and two.done):
        one.advance(0.0)
        two.advance(0.0)
    assert done == ["one", "two"] * 3


def test_where_nobody_slices_work_never_rests():
    begun = time.perf_counter()
    rest()
    assert 0 <= working_s() - begun < 1.0
