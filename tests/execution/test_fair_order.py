from hypothesis import given
from hypothesis import strategies as st

from pruning.execution.store.fair_order import Turn, fair_order

SESSIONS = st.sampled_from("abcd")


def turns(*runs: str) -> list[Turn]:
    """Runs that nobody shares, named after their sessions."""
    return [Turn(run, run[0], run) for run in runs]


def names(order: list[Turn]) -> list[str]:
    return [turn.run for turn in order]


@st.composite
def queues(draw: st.DrawFn) -> list[Turn]:
    """Queued runs, some of which share what an earlier one carries out."""
    queued: list[Turn] = []
    for place, session in enumerate(draw(st.lists(SESSIONS, max_size=12))):
        run = f"{session}{place}"
        carriers = [turn.carrier for turn in queued if turn.session != session]
        carrier = draw(st.sampled_from([run, run, *carriers]))
        queued.append(Turn(run, session, carrier))
    return queued


def test_sessions_take_turns_the_longest_waiting_first():
    queued = turns("a1", "a2", "b1", "c1", "b2", "b3")
    assert names(fair_order(queued, {"a": 30, "b": 10})) == ["c1", "b1", "a1", "b2", "a2", "b3"]
    assert names(fair_order(queued, {})) == ["a1", "b1", "c1", "a2", "b2", "b3"]
    assert fair_order([], {"a": 1}) == []


def test_what_two_share_starts_at_the_earlier_turn_and_takes_none_of_the_others():
    """b shares a's third: it is b's first, so it starts second, and a's turn after it is for another run."""
    queued = [*turns("a1", "a2", "a3"), Turn("b1", "b", "a3"), *turns("b2", "a4")]
    assert names(fair_order(queued, {})) == ["a1", "b1", "a2", "b2", "a4"]


@given(queues(), st.dictionaries(SESSIONS, st.integers(1, 10**9)))
def test_everything_is_carried_out_once_and_nobody_is_passed_over(queued: list[Turn], last_start: dict[str, int]):
    order = fair_order(queued, last_start)
    assert sorted(turn.carrier for turn in order) == sorted({turn.carrier for turn in queued})
    for session in {turn.session for turn in queued}:
        mine = [turn for turn in order if turn.session == session]
        assert mine == [turn for turn in queued if turn in mine]  # one's own runs keep their order
        # before my n-th turn, no session has had more than n
        for count, turn in enumerate(mine, 1):
            before = [other.session for other in order[: order.index(turn)]]
            assert all(before.count(other) <= count for other in set(before))


@given(queues(), st.dictionaries(SESSIONS, st.integers(1, 10**9)))
def test_starting_the_first_leaves_the_order_of_the_others(queued: list[Turn], last_start: dict[str, int]):
    """The place that a person is told is the one that comes true."""
    order = fair_order(queued, last_start)
    if order:
        left = [turn for turn in queued if turn.carrier != order[0].carrier]
        assert fair_order(left, {**last_start, order[0].session: 2 * 10**9}) == order[1:]
