"""Calls: who is served next, what two ask at once, and what becomes of what waits."""

from collections.abc import Callable

import pytest

from pruning.errors import JobError
from pruning.execution.call_queue import LOST, CallQueue
from pruning.execution.followed import Asker, Slices
from pruning.execution.server_state import Question
from pruning.recipe.recipe import Recipe
from tests.execution.functions import add, wait_for
from tests.execution.queueing import Clock, Worker, asked, called, workers


def test_people_are_served_in_turn_whoever_asked_first(queue: CallQueue):
    (worker,) = by = workers(queue)
    for number in range(3):
        called(queue, by, number, person="many")
    called(queue, by, 10, person="one")
    served = []
    for _ in range(4):
        served.append(worker.doing[1][0])
        worker.answers()
    assert served == [0, 10, 1, 2]


def test_who_asks_what_another_waits_for_gets_the_same_answer(queue: CallQueue):
    (worker,) = by = workers(queue)
    called(queue, by, 1)
    first, second = called(queue, by, 7, person="ann"), called(queue, by, 7, person="ben")
    worker.answers()
    worker.answers("seven")
    assert first.result(0) == second.result(0) == "seven"
    assert len(worker.given) == 2


def test_a_call_that_one_of_two_takes_back_is_answered_for_the_other(queue: CallQueue):
    (worker,) = by = workers(queue)
    called(queue, by, 1)
    first, second = called(queue, by, 7, person="ann"), called(queue, by, 7, person="ben")
    gone = called(queue, by, 8)
    assert first.cancel() and gone.cancel()
    worker.answers()
    worker.answers("seven")
    assert second.result(0) == "seven"
    assert [arguments for _, arguments, _ in worker.given] == [(1,), (7,)]


def test_a_call_goes_only_to_workers_that_may_answer_it(queue: CallQueue):
    left, right = workers(queue, 2)
    called(queue, [right], 1)
    called(queue, [right], 2)
    assert len(right.given) == 1 and not left.given
    called(queue, [left, right], 3)
    assert left.doing == (add, (3,))


def test_calls_of_a_lost_worker_say_so(queue: CallQueue):
    (worker,) = by = workers(queue)
    answer = called(queue, by, 1)
    queue.lost(worker.slot)
    assert str(answer.exception(0)) == LOST


def test_workers_that_are_busy_share_the_cores():
    queue = CallQueue(cores=4)
    left, right = by = workers(queue, 2)
    called(queue, by, 1)
    called(queue, by, 2)
    assert [threads for *_, threads in (*left.given, *right.given)] == [4, 2]


def test_models_are_opened_ahead_by_a_worker_at_a_time_and_after_all_else(queue: CallQueue):
    left, right = by = workers(queue, 2)
    for worker in by:
        for name in ("a", "b"):
            queue.call(wait_for, (name,), {}, [worker.slot], urgency="ahead")
    assert left.doing == (wait_for, ("a",)) and not right.given
    called(queue, by, 1)
    assert right.doing[0] is add
    left.answers()
    assert left.doing == (wait_for, ("b",))
    left.answers()
    right.answers()
    assert right.doing == (wait_for, ("a",))


@pytest.mark.parametrize("ending", [lambda queue: queue.gave_up("no torch today"), CallQueue.close])
def test_what_waits_is_told_when_nobody_will_answer(
    queue: CallQueue, clock: Clock, ending: Callable[[CallQueue], None]
):
    slots = [Worker(queue)]
    waiting = called(queue, slots, 1)
    asked(queue, slots, 2)
    ending(queue)
    assert isinstance(waiting.exception(0), JobError)
    assert isinstance(asked(queue, slots, 2).error, JobError)


def test_what_workers_are_at_and_what_waits_is_told(queue: CallQueue, clock: Clock):
    (worker,) = workers(queue)
    asked(queue, [worker], 3, "ann")
    clock.now += 2.0
    called(queue, [worker], 1, 2, person="bob")
    asked(queue, [worker], 4, "cem")
    clock.now += 1.0
    assert queue.answering() == {worker.slot: Question("pid", ("ann",), 3.0)}
    assert [(one.what, one.people, one.seconds) for one in queue.questions()] == [
        ("pid", ("ann",), 3.0), ("pid", ("cem",), 1.0), ("add", ("bob",), 0.0),
    ]  # fmt: skip


def test_a_question_says_which_workload_it_is_about(queue: CallQueue):
    (worker,) = workers(queue)
    recipe = Recipe("mlp_128")
    queue.follow(Asker("ann", "tab"), add, (recipe,), [worker.slot], bool, Slices(), 0.0)
    assert [question.what for question in queue.questions()] == ["add mlp_128"]


def test_one_persons_questions_are_ended_and_nobody_elses(queue: CallQueue, clock: Clock):
    (worker,) = workers(queue)
    busy = called(queue, [worker], 0, 0, person="dan")
    mine, both = called(queue, [worker], 1, 2, person="ann"), called(queue, [worker], 3, 4, person="ann")
    theirs = called(queue, [worker], 3, 4, person="bob")
    asked(queue, [worker], 5, "ann")
    asked(queue, [worker], 6, "ann", place="another")
    asked(queue, [worker], 6, "bob")
    assert queue.end_questions("ann") == 4
    for answer in (mine, both):
        with pytest.raises(JobError, match="ended by whoever runs the server"):
            answer.result(0)
    assert {question.people for question in queue.questions()} == {("bob",)} and not theirs.done()
    over = asked(queue, [worker], 5, "ann")
    assert over.over and "ended by whoever" in str(over.error) and not asked(queue, [worker], 6, "bob").over
    worker.answers(0)
    assert busy.result(0) == 0
    assert worker.doing == (add, (3, 4))
    worker.answers(7)
    assert theirs.result(0) == 7


def test_what_two_ask_is_kept_for_the_other_as_far_as_it_is(queue: CallQueue, clock: Clock):
    (worker,) = workers(queue)
    for person in ("ann", "bob"):
        asked(queue, [worker], 5, person)
    worker.answers(3)
    queue.end_questions("ann")
    assert asked(queue, [worker], 5, "bob").outcome == 3


def test_what_was_ended_while_a_worker_was_at_it_stays_ended_until_it_is_asked_again(queue: CallQueue, clock: Clock):
    (worker,) = workers(queue)
    asked(queue, [worker], 5, "ann")
    queue.end_questions("ann")
    worker.answers(3)
    assert asked(queue, [worker], 5, "ann").over and len(worker.given) == 1
    clock.now += 4.0
    assert not asked(queue, [worker], 5, "ann").over
    assert len(worker.given) == 2
