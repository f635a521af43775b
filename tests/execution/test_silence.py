"""Silence is what one process has watched for long enough, whatever happens to clocks meanwhile."""

from hypothesis import given
from hypothesis import strategies as st

from pruning.execution.store.silence import Silence


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_same_sign_for_long_enough_is_silence_and_another_sign_is_none():
    clock = Clock()
    silence = Silence(10.0, clock)
    for clock.now, sign, silent in ((0, 1, False), (4, 1, False), (8, 2, False), (13, 2, False), (18, 2, True)):
        assert silence.lasts("a", sign) == silent
    assert not silence.lasts("a", 3)


def test_who_was_stopped_itself_has_not_watched():
    """A machine that slept for a day: the worker has had no time either since it woke."""
    clock = Clock()
    silence = Silence(10.0, clock)
    assert not silence.lasts("a", 1)
    clock.now = 86_400.0
    assert not silence.lasts("a", 1)
    clock.now += 1.0
    assert not silence.lasts("a", 2)


@given(st.lists(st.tuples(st.floats(0.0, 100.0), st.booleans()), max_size=50))
def test_silence_is_never_shorter_than_it_must_be(looks: list[tuple[float, bool]]):
    clock, sign, same_since = Clock(), 0, 0.0
    silence = Silence(10.0, clock)
    silence.lasts("a", sign)
    for seconds, alive in looks:
        clock.now += seconds
        if alive:
            sign, same_since = sign + 1, clock.now
        if silence.lasts("a", sign):
            assert clock.now - same_since >= 10.0
