"""What would keep a worker busy for minutes is refused beforehand, with what to lower; worked out by hand."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest

from pruning.criteria import Ablation, Magnitude, OptimalBrainDamage, Passes, Taylor
from pruning.errors import PatienceError
from pruning.granularities import Channels
from pruning.interactive.ongoing_scoring import require_patience
from pruning.interactive.queries import estimate_repaired, look, score, search, sensitivity
from pruning.interactive.responses import Repairing
from pruning.interactive.session import PreviewSession
from pruning.recipe.recipe import Recipe
from pruning.repair import NoRepair, NormsAndBiases, ongoing_mend
from pruning.selection.amounts import Sparsity
from pruning.selection.goal import Goal
from tests.networks import CPU, tiny

HUTCHINSON = OptimalBrainDamage("hutchinson", samples=65_536, probes=1000)


def patient(most: float) -> PreviewSession:
    return PreviewSession({"mlp": lambda: tiny("mlp", count=20)}, CPU, most_seconds=most)


def test_seconds_are_those_of_the_passes():
    require_patience(Passes(100, 50), 0.01, Ablation(), most=2.0)  # two passes backward are four forward
    with pytest.raises(
        PatienceError, match=r"ablation would take about 4.0.s .* for 2.0.s at most: lower its samples, or"
    ):
        require_patience(Passes(100, 150), 0.01, Ablation(), most=2.0)


def test_hours_are_written_as_hours():
    with pytest.raises(PatienceError, match=r"would take about 5.h 38.min to .* computes for 10.min 00.s at most"):
        require_patience(Passes(20_327), 1.0, Ablation(), most=600.0)


@pytest.mark.parametrize("question", [partial(look, axis="score"), partial(score, seconds=0.1)])
def test_what_takes_too_long_is_refused_before_it_begins(question):
    recipe = Recipe("mlp", HUTCHINSON, Channels())
    with pytest.raises(PatienceError, match=r"optimal_brain_damage would take .* lower its samples or probes"):
        question(patient(1e-9), recipe)


def test_a_criterion_that_has_nothing_to_lower_says_choose_another():
    with pytest.raises(PatienceError, match=r"taylor would take .*: choose another criterion, or larger units; Run"):
        look(patient(1e-9), Recipe("mlp", Taylor(), Channels()), "score")


ENDLESS = Recipe("mlp", granularity=Channels(), amount=Sparsity(0.5), repair=NormsAndBiases(steps=10_000))


@pytest.mark.parametrize(
    "question",
    [
        partial(estimate_repaired, recipe=ENDLESS, seconds=0.0),
        partial(search, recipe=ENDLESS, goal=Goal("macs", 0.5), batch=1, seconds=0.0),
        partial(sensitivity, recipe=ENDLESS, levels=(0.5,), half_width=0.1, max_drop=None, part=(0, 1), seconds=0.0),
    ],
    ids=["estimate", "search", "sensitivity"],
)
def test_a_repair_that_takes_too_long_is_refused_before_it_begins(question):
    with pytest.raises(
        PatienceError,
        match=r"norms_and_biases would take .* to repair a cut .*: lower its samples or steps, or another",
    ):
        question(patient(1e-9))


def test_a_search_scores_a_slice_at_a_time_and_not_for_too_long():
    slow = replace(ENDLESS, criterion=OptimalBrainDamage("hutchinson", samples=60, probes=20), repair=NoRepair())
    with pytest.raises(PatienceError, match="optimal_brain_damage would take"):
        search(patient(1e-9), slow, Goal("macs", 0.5), 1, 0.0)
    bench, calls = patient(600.0), 1
    while search(bench, slow, Goal("macs", 0.9), 1, 0.0) is None:
        calls += 1
    assert calls > 3


def test_a_long_repair_goes_on_in_slices_wherever_it_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ongoing_mend, "SLICE_S", 0.0)
    bench = patient(600.0)
    slow = replace(ENDLESS, repair=NormsAndBiases(samples=16, steps=200))
    for ask in (
        lambda: estimate_repaired(bench, slow, 0.0),
        lambda: search(bench, slow, Goal("macs", 0.9), 1, 0.0),
    ):
        calls = 1
        while isinstance(ask(), Repairing | None):
            calls += 1
        assert calls > 20


def test_a_repair_says_what_is_left_of_what_it_said_beforehand(monkeypatch: pytest.MonkeyPatch):
    """A network whose pass takes long: 10 s for all that the repair asks of it, less what was spent."""
    bench = patient(600.0)
    slow = replace(ENDLESS, repair=NormsAndBiases(samples=16, steps=200))
    opened = bench.opened("mlp")
    object.__setattr__(opened, "seconds_per_sample", 10 / slow.repair.passes(len(opened.workload.train)).as_forward)
    clock = iter(range(1000))
    # each slice takes a second
    monkeypatch.setattr(ongoing_mend, "time", SimpleNamespace(perf_counter=lambda: float(next(clock))))
    left = [estimate_repaired(bench, slow, 0.0).seconds_left for _ in range(12)]
    assert left == pytest.approx([9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0])


def test_weights_alone_cost_no_passes():
    look(patient(0.0), Recipe("mlp", Magnitude(), Channels()), "score")
