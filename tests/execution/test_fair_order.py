from hypothesis import given
from hypothesis import strategies as st

from pruning.execution.store.fair_order import fair_order

SESSIONS = st.sampled_from("abcd")


def test_sessions_take_turns_the_longest_waiting_first():
    queued = [("a1", "a"), ("a2", "a"), ("b1", "b"), ("c1", "c"), ("b2", "b"), ("b3", "b")]
    assert fair_order(queued, {"a": 30, "b": 10}) == ["c1", "b1", "a1", "b2", "a2", "b3"]
    assert fair_order(queued, {}) == ["a1", "b1", "c1", "a2", "b2", "b3"]
    assert fair_order([], {"a": 1}) == []


@given(st.lists(SESSIONS), st.dictionaries(SESSIONS, st.integers(1, 10**9)))
def test_nobody_is_passed_over(sessions: list[str], last_start: dict[str, int]):
    queued = [(f"{session}{place}", session) for place, session in enumerate(sessions)]
    order = fair_order(queued, last_start)
    assert sorted(order) == sorted(run for run, _ in queued)
    for session in set(sessions):
        mine = [run for run in order if run[0] == session]
        assert mine == [run for run, owner in queued if owner == session]  # one's own runs keep their order
        # before my n-th run, no session has had more than n
        for turn, run in enumerate(mine, 1):
            before = [other[0] for other in order[: order.index(run)]]
            assert all(before.count(other) <= turn for other in set(before))


@given(st.lists(SESSIONS, min_size=1), st.dictionaries(SESSIONS, st.integers(1, 10**9)))
def test_starting_the_first_leaves_the_order_of_the_others(sessions: list[str], last_start: dict[str, int]):
    """The place that a person is told is the one that comes true."""
    queued = [(f"{session}{place}", session) for place, session in enumerate(sessions)]
    first, *others = fair_order(queued, last_start)
    left = [(run, session) for run, session in queued if run != first]
    assert fair_order(left, {**last_start, first[0]: 2e9}) == others
