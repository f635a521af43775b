"""Latency is measured on one core, and leaves the number of threads as it was."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from pruning.evaluation import accuracy
from pruning.evaluation.accuracy import latency_ms, time_left


@pytest.fixture
def three_threads() -> Iterator[None]:
    """A number of threads that is not the one that all other tests run with."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class CountsThreads(nn.Module):
    """Says how many threads torch has in each pass, and in which mode it was; fails if it is asked to."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.fails = fails
        self.threads: set[int] = set()
        self.modes: set[bool] = set()

    def forward(self, inputs: Tensor) -> Tensor:
        self.threads.add(torch.get_num_threads())
        self.modes.add(self.training)
        if self.fails:
            raise RuntimeError("this network fails")
        return inputs


def test_one_thread_while_it_is_measured_and_as_many_as_before_after_it(three_threads):
    model = CountsThreads().train()
    assert latency_ms(model, torch.zeros(1, 4)) >= 0
    assert model.threads == {1} and model.modes == {False}
    assert torch.get_num_threads() == 3 and model.training


def test_a_network_that_fails_leaves_the_threads_as_they_were(three_threads):
    model = CountsThreads(fails=True).train()
    with pytest.raises(RuntimeError, match="this network fails"):
        latency_ms(model, torch.zeros(1, 4))
    assert torch.get_num_threads() == 3 and model.training


def test_the_fastest_pass_after_the_warm_up_counts(monkeypatch):
    """Passes of 1 ms in the warm-up, then of 5 ms, one of them of 3 ms: the clock is turned by hand."""
    passes = [0.001] * 5 + [0.005] * 12 + [0.003] + [0.005] * 12
    clock, now = iter([False, True] * len(passes)), 0.0
    durations = iter(passes)

    def perf_counter() -> float:
        nonlocal now
        now += next(durations) if next(clock) else 0.0
        return now

    monkeypatch.setattr(accuracy.time, "perf_counter", perf_counter)
    monkeypatch.setattr(accuracy, "WARM_UP", 5)
    monkeypatch.setattr(accuracy, "TIMED", 25)
    assert latency_ms(CountsThreads(), torch.zeros(1, 4)) == pytest.approx(3.0)
    assert next(clock, None) is None  # 5 and 25 passes, and no more


def test_two_networks_take_turns_and_the_median_of_their_ratios_counts(monkeypatch):
    """The smaller takes 1 ms, the dense one 2 ms; then the machine slows down for both, and stops once for one."""
    now = 0.0

    class Takes(nn.Module):
        def __init__(self, seconds: float) -> None:
            super().__init__()
            self.seconds, self.passes = seconds, 0

        def forward(self, inputs: Tensor) -> Tensor:
            nonlocal now
            assert not torch.is_grad_enabled()  # a pass as a network answers, without what a training needs
            slow = 3.0 if self.passes >= 20 else 1.0
            stopped = 100.0 if self.passes == 12 and self.seconds == 0.001 else 1.0
            now += self.seconds * slow * stopped
            self.passes += 1
            return inputs

    monkeypatch.setattr(accuracy.time, "perf_counter", lambda: now)
    smaller, dense = Takes(0.001), Takes(0.002)
    assert time_left(smaller, dense, torch.zeros(1, 4)) == pytest.approx(0.5)
    assert smaller.passes == dense.passes == accuracy.WARM_UP + 35
