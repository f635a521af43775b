"""What is followed a slice at a time: whose turn it is, and nothing that nobody wants any more."""

import pytest

from pruning.errors import JobError, RecipeError
from pruning.execution import call_queue, followed
from pruning.execution.call_queue import CallQueue
from pruning.execution.followed import Asker, Progress
from tests.execution.functions import add, pid
from tests.execution.queueing import Clock, asked, called, spend, workers


def test_what_is_followed_goes_on_until_it_is_complete(queue: CallQueue, clock: Clock):
    (worker,) = by = workers(queue)
    assert asked(queue, by, 1) == Progress(None)
    assert worker.doing == (pid, (1, 0.0))
    spend(clock, worker, 20)
    assert asked(queue, by, 1).outcome == 20 and worker.doing == (pid, (1, 0.05))
    spend(clock, worker, 100)
    assert asked(queue, by, 1) == Progress(100, over=True)
    assert len(worker.given) == 2


def test_nothing_known_yet_is_no_outcome(queue: CallQueue, clock: Clock):
    (worker,) = by = workers(queue)
    asked(queue, by, 1)
    spend(clock, worker, None)
    assert asked(queue, by, 1).outcome is None and len(worker.given) == 2
    assert worker.doing == (pid, (1, 0.0))  # still the slice that brings the first answer


def test_it_is_told_without_asking_again_whether_there_is_a_first_outcome_or_the_end(queue: CallQueue, clock: Clock):
    by = workers(queue)
    nothing = asked(queue, by, 1)
    assert not nothing.more_by_now()
    spend(clock, by[0], None)
    assert not nothing.more_by_now()  # the worker has begun, and knows nothing yet
    spend(clock, by[0], 50)
    something = asked(queue, by, 1)
    assert nothing.more_by_now() and not something.more_by_now()
    spend(clock, by[0], 60)
    assert not something.more_by_now()  # sharper: that is told when it is asked for
    spend(clock, by[0], 100)
    over = asked(queue, by, 1)
    assert over.over and nothing.more_by_now() and something.more_by_now() and not over.more_by_now()


def test_an_outcome_of_another_kind_is_more(queue: CallQueue, clock: Clock):
    """As the first score after the repair that it waited for."""
    by = workers(queue)
    asked(queue, by, 1)
    spend(clock, by[0], 5)
    waiting = asked(queue, by, 1)
    spend(clock, by[0], 6.5)
    assert waiting.more_by_now() and not asked(queue, by, 1).more_by_now()


def test_that_something_went_wrong_is_more_too(queue: CallQueue, clock: Clock):
    by = workers(queue)
    before = asked(queue, by, 1)
    by[0].answers(error=JobError("no"))
    assert before.more_by_now() and not asked(queue, by, 1).more_by_now()


def test_what_somebody_waits_for_comes_first_then_first_answers_then_better_ones(queue: CallQueue, clock: Clock):
    (worker,) = by = workers(queue)
    asked(queue, by, 1, "ann")
    spend(clock, worker, 20)
    asked(queue, by, 2, "ben")
    called(queue, by, 5)
    spend(clock, worker, 30)
    assert worker.doing == (add, (5,))
    worker.answers()
    assert worker.doing == (pid, (2, 0.0))
    spend(clock, worker, 20)
    function, (_number, seconds) = worker.doing
    assert function is pid and seconds == 0.05


def test_who_asked_first_is_done_first(queue: CallQueue, clock: Clock):
    """Ann and Ben rest; Cy moves on and on: of what is not Cy's newest nothing is begun in vain."""
    (worker,) = by = workers(queue)
    done: list[int] = []
    for outcome in range(1, 41):
        asked(queue, by, 1, "ann")
        asked(queue, by, 2, "ben")
        asked(queue, by, 100 + outcome // 4, "cy")
        number = worker.doing[1][0]
        done.append(number)
        spend(clock, worker, 100 if done.count(number) == 15 else 1)
    assert done.count(1) == done.count(2) == 15
    assert max(i for i, number in enumerate(done) if number == 1) < max(i for i, n in enumerate(done) if n == 2)
    assert sum(number >= 100 for number in done) == 10  # the first answers of Cy's


def test_what_takes_long_gets_one_slice_in_four_and_each_person_as_much(queue: CallQueue, clock: Clock):
    (worker,) = by = workers(queue)
    time = {1: 0, 2: 0, 3: 0}
    for _ in range(1000):
        for number, person in ((1, "ann"), (2, "ben"), (3, "cy")):
            if number < 3 or clock.now > 1006.0:  # Cy begins when both others have had their two seconds
                asked(queue, by, number, person)
        if clock.now > 1006.0:
            time[worker.doing[1][0]] += 1
            if time[3] == 30:
                break
        spend(clock, worker, 1)
    assert time[1] + time[2] == pytest.approx(10, abs=2)
    assert abs(time[1] - time[2]) <= 2


def test_who_asks_something_new_for_every_slice_keeps_nobody_from_going_on(queue: CallQueue, clock: Clock):
    (worker,) = by = workers(queue)
    done = {1: 0, 2: 0}
    for turn in range(1, 400):
        asked(queue, by, 1, "ann", enough=10**6)
        if turn > 100:
            asked(queue, by, 1000 + turn, "new")  # a first answer waits at every slice
        if turn > 150:
            asked(queue, by, 2, "ben", enough=10**6)
        number = worker.doing[1][0]
        if turn > 200 and number in done:
            done[number] += 1
        spend(clock, worker, 1)
    assert done[1] + done[2] == pytest.approx(200 / 9, abs=2)  # Ann's is long by then, and Ben's is not
    assert done[1] >= 4 and done[2] >= 4


def test_peoples_long_questions_go_on_at_one_pace(queue: CallQueue, clock: Clock):
    (worker,) = by = workers(queue)
    time = {"many": 0, "one": 0}
    for turn in range(600):
        for tab in range(5):
            asked(queue, by, tab, "many", f"tab {tab}")
        asked(queue, by, 99, "one")
        if turn > 400:
            time["one" if worker.doing[1][0] == 99 else "many"] += 1
        spend(clock, worker, 1)
    assert 0.4 < time["one"] / sum(time.values()) < 0.9


def test_a_person_with_many_tabs_has_one_persons_turns(queue: CallQueue, clock: Clock):
    (worker,) = by = workers(queue)
    for tab in range(9):
        asked(queue, by, tab, "many", f"tab {tab}")
    asked(queue, by, 99, "one")
    served: list[int] = []
    for _ in range(13):
        served.append(worker.doing[1][0])
        spend(clock, worker, 1)
    assert served[1] == 99  # before the second of the many
    assert served[11:] == [0, 0]  # all have a first answer: the one that began first is done first


def test_a_newer_question_at_the_same_place_ends_the_older(queue: CallQueue, clock: Clock):
    (worker,) = by = workers(queue)
    asked(queue, by, 1)
    asked(queue, by, 2)
    spend(clock, worker, 20)
    for outcome in range(5):
        assert worker.doing[1][0] == 2
        spend(clock, worker, outcome)


def test_what_nobody_has_asked_for_some_time_ends(queue: CallQueue, clock: Clock):
    (worker,) = by = workers(queue)
    asked(queue, by, 1)
    clock.now += followed.FORGOTTEN_S
    worker.answers(20)
    assert len(worker.given) == 1
    assert asked(queue, by, 1).outcome == 20 and len(worker.given) == 2  # from where it was


def test_what_is_left_ends_at_once(queue: CallQueue, clock: Clock):
    (worker,) = by = workers(queue)
    asked(queue, by, 1)
    queue.unfollow(Asker("ann", "ann's tab"))
    spend(clock, worker, 20)
    assert len(worker.given) == 1


def test_one_question_of_two_people_is_one(queue: CallQueue, clock: Clock):
    left, right = by = workers(queue, 2)
    asked(queue, by, 1, "ann")
    assert asked(queue, by, 1, "ben").others == 1
    spend(clock, left, 20)
    assert asked(queue, by, 1, "ben").outcome == 20
    assert len(left.given) == 2 and not right.given
    queue.unfollow(Asker("ann", "ann's tab"))
    spend(clock, left, 30)
    assert len(left.given) == 3  # Ben still asks


def test_the_worker_that_began_goes_on(queue: CallQueue, clock: Clock):
    left, right = by = workers(queue, 2)
    asked(queue, by, 1)
    called(queue, [left], 1)
    spend(clock, left, 20)
    assert left.doing == (add, (1,)) and not right.given
    left.answers()
    assert left.doing == (pid, (1, 0.05))


def test_what_has_hardly_begun_goes_to_whoever_is_idle(queue: CallQueue, clock: Clock):
    left, right = by = workers(queue, 2)
    asked(queue, by, 1)
    called(queue, [left], 1)
    spend(clock, left, 20, seconds=0.02)  # a first answer, and then something else
    assert left.doing == (add, (1,)) and right.doing == (pid, (1, 0.05))
    spend(clock, right, 30, seconds=0.05)
    assert right.doing == (pid, (1, 0.05))
    called(queue, [right], 2)
    left.answers()
    spend(clock, right, 40)
    assert right.doing == (add, (2,)) and len(left.given) == 2  # now it has come too far


def test_an_error_is_said_and_may_be_tried_again_later(queue: CallQueue, clock: Clock):
    (worker,) = by = workers(queue)
    asked(queue, by, 1)
    worker.answers(error=RecipeError("no such layer"))
    with pytest.raises(RecipeError, match="no such layer"):
        asked(queue, by, 1).known()
    assert len(worker.given) == 1  # a page that polls does not try again and again
    clock.now += followed.TRIED_AGAIN_S + 0.1
    assert asked(queue, by, 1).error is None and len(worker.given) == 2


def test_a_lost_worker_costs_a_question_its_progress_and_two_cost_the_question(queue: CallQueue, clock: Clock):
    left, right = by = workers(queue, 2)
    asked(queue, by, 1)
    queue.lost(left.slot)
    assert asked(queue, by, 1).error is None and right.doing == (pid, (1, 0.0))
    queue.lost(right.slot)
    with pytest.raises(JobError, match="repeat what you did"):
        asked(queue, by, 1).known()


def test_a_question_whose_worker_was_lost_while_it_waited_goes_on_elsewhere(queue: CallQueue, clock: Clock):
    left, right = by = workers(queue, 2)
    asked(queue, by, 1)
    called(queue, [left], 5)
    spend(clock, left, 20)
    lost = called(queue, [left], 6)
    queue.lost(left.slot)
    assert lost.done() is False
    asked(queue, by, 1)
    assert right.doing[0] is pid


def test_answers_that_nobody_wants_any_more_are_forgotten(
    queue: CallQueue, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(call_queue, "KEPT", 10)
    (worker,) = by = workers(queue)
    for number in range(30):
        asked(queue, by, number, enough=0)
        spend(clock, worker, 1)
    assert len(queue._followed) <= 11  # pyright: ignore[reportPrivateUsage]
    given = len(worker.given)
    assert asked(queue, by, 29, enough=0).over and len(worker.given) == given
    asked(queue, by, 0, enough=0)
    assert len(worker.given) == given + 1
