"""What takes long beside sliders, on the same cores: neither side keeps the other waiting."""

import pytest

from pruning.execution.call_queue import CallQueue
from pruning.execution.recent_shares import HALVED_S, RecentShares
from tests.execution.queueing import Clock, asked, workers


def test_what_was_spent_longer_ago_counts_less():
    spent = RecentShares()
    assert spent.share("a") == 0.0
    spent.spend("a", 4.0, 100.0)
    assert spent.share("a") == 1.0 and spent.share("b") == 0.0
    spent.spend("b", 2.0, 100.0 + HALVED_S)
    assert spent.share("a") == pytest.approx(0.5)  # two of its four seconds are left
    spent.spend("b", 6.0, 100.0 + HALVED_S)
    assert spent.share("a") == pytest.approx(0.2)


def slow_share(clock: Clock, sliders: int, slow: int, cores: int = 2) -> float:
    """What so many people's slow questions get of the workers' time, beside so many people's sliders."""
    queue = CallQueue(cores)
    by, others = workers(queue, 2), workers(queue)
    spent = {True: 0.0, False: 0.0}
    for turn in range(600):
        for person in range(sliders):
            asked(queue, by, 100 * turn + person, f"slider {person}")
        for person in range(slow):
            asked(queue, others, -1 - person, f"slow {person}", charged=True)
        clock.now += 0.05
        for worker in (*others, *by):
            if worker.busy:
                spent[worker in others] += 0.05
                worker.answers(50)
    return spent[True] / sum(spent.values())


@pytest.mark.parametrize(
    ("sliders", "slow", "share"),
    [
        (60, 1, 0.05),  # the least
        (30, 10, 0.25),
        (6, 6, 1 / 3),  # would be half: it has one worker of three
        (0, 1, 1.0),
        (1, 9, 1 / 3),  # one slider leaves a core: all three workers go on
    ],
)
def test_slow_questions_get_their_peoples_share_while_sliders_take_all_cores(
    clock: Clock, sliders: int, slow: int, share: float
):
    assert slow_share(clock, sliders, slow) == pytest.approx(share, abs=0.02)


def test_workers_that_are_not_on_these_cores_are_never_held_back(clock: Clock):
    assert slow_share(clock, 60, 1, cores=0) == pytest.approx(1 / 3, abs=0.01)
    assert slow_share(clock, 60, 1, cores=3) == pytest.approx(1 / 3, abs=0.01)


def test_a_worker_that_does_both_is_not_held_back(clock: Clock):
    """Where no worker is for slow questions alone: these have turns of their own, as all that is long."""
    queue = CallQueue(cores=1)
    (worker,) = by = workers(queue)
    for _turn in range(40):
        for person in range(9):
            asked(queue, by, person, f"slider {person}")
        asked(queue, by, -1, "slow", charged=True)
        assert worker.busy
        clock.now += 0.05
        worker.answers(50)
    assert (-1,) in [arguments[:1] for _function, arguments, _threads in worker.given]
