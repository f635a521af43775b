"""Scores repeat to the digit on GPUs too: while a network is evaluated no convolution may compute in TF32."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from pruning.evaluation.accuracy import Evaluator, latency_ms
from pruning.evaluation.regression_estimator import dense_reference
from pruning.layer_sensitivity.analysis import analysis_of
from pruning.recipe.recipe import Recipe
from pruning.workload import Workload
from tests.networks import CPU, VECTOR, mlp, seeded, workload


def watched() -> tuple[Workload, list[bool]]:
    """A workload, and whether TF32 was allowed whenever its network, or a copy of it, computed."""
    allowed = list[bool]()

    def build() -> nn.Module:
        model = seeded(mlp)
        model[0].register_forward_hook(lambda *_: allowed.append(torch.backends.cudnn.allow_tf32))  # type: ignore[operator]
        return model

    return workload(build, VECTOR, count=120), allowed


def evaluate(work: Workload) -> None:
    Evaluator(work.validation, work.task, CPU).evaluate_all(work.build())


def know_the_dense_network(work: Workload) -> None:
    dense_reference(work.build(), Evaluator(work.validation, work.task, CPU))


def time_a_pass(work: Workload) -> None:
    latency_ms(work.build(), work.example)


@pytest.fixture
def tf32() -> Iterator[None]:
    """As torch begins: convolutions on CUDA may compute in TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("compute", [evaluate, know_the_dense_network, time_a_pass])
def test_a_network_is_evaluated_without_tf32_and_the_setting_comes_back(
    compute: Callable[[Workload], None], tf32: None
) -> None:
    work, allowed = watched()
    compute(work)
    assert allowed and not any(allowed)
    assert torch.backends.cudnn.allow_tf32


def test_a_map_is_computed_without_tf32_and_the_setting_comes_back(tf32: None) -> None:
    work, allowed = watched()
    analysis = analysis_of(work, Recipe("tiny"), (0.5, 0.9), CPU)
    allowed.clear()
    assert analysis.advance(60.0, 0.0).done
    assert allowed and not any(allowed)
    assert torch.backends.cudnn.allow_tf32
