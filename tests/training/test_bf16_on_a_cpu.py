"""A CPU that multiplies in bf16 is used so for tuning, and for nothing else. What the CPU can do is simulated."""

import pytest
import torch
from torch import nn

from pruning.evaluation.accuracy import Evaluator
from pruning.training.fine_tuning import tune
from pruning.training.tuning import Tuning
from pruning.workload import Workload
from tests.networks import CPU, tiny

TUNING = Tuning(epochs=1, batch_size=100)


def cpu_with(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let torch say that the CPU has these of the abilities that matter here, and no others."""
    abilities = {name: name in names for name in ("avx2", "avx512_bf16", "amx_bf16")}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)


def watched(work: Workload) -> tuple[nn.Module, list[torch.dtype]]:
    """The network, and the type of the values that its first layer gives in every pass."""
    model, seen = work.build(), list[torch.dtype]()
    model[0].register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    return model, seen


@pytest.mark.parametrize("ability", ["avx512_bf16", "amx_bf16"])
def test_tuning_runs_in_bf16_where_the_cpu_has_it_and_weights_stay_float32(ability, monkeypatch):
    cpu_with(monkeypatch, "avx2", ability)
    work = tiny("mlp")
    model, seen = watched(work)
    list(tune(model, work, TUNING, {}, CPU, 0))
    assert len(seen) >= 3 and set(seen) == {torch.bfloat16}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_tuning_runs_in_float32_where_the_cpu_has_not(monkeypatch):
    cpu_with(monkeypatch, "avx2")
    work = tiny("mlp")
    model, seen = watched(work)
    list(tune(model, work, TUNING, {}, CPU, 0))
    assert set(seen) == {torch.float32}


def test_evaluating_runs_in_float32_whatever_the_cpu_has(monkeypatch):
    cpu_with(monkeypatch, "avx2", "avx512_bf16", "amx_bf16")
    work = tiny("mlp")
    model, seen = watched(work)
    Evaluator(work.validation, work.task, CPU).evaluate_all(model)
    assert set(seen) == {torch.float32}
