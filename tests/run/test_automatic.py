"""A run whose amount is automatic: it searches first, says what it has found, and goes on with exactly that."""

import json
from collections.abc import Callable, Generator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch

from pruning.criteria import Magnitude
from pruning.errors import RecipeError
from pruning.events import AmountFound, Event, Measured, Resumed, Searching, StageMeasured, Started, Warned
from pruning.granularities import Channels
from pruning.level_search.result import FrontPoint, Searched
from pruning.recipe.recipe import Recipe, from_json
from pruning.repair import LeastSquares
from pruning.reporting.run_summary import amount_found
from pruning.run import automatic
from pruning.run import experiment as runs
from pruning.run.engine import PruneResult
from pruning.run.experiment import prune_within_memory
from pruning.selection.amounts import Automatic, PerLayer, Sparsity
from pruning.selection.scopes import WithinLayer
from pruning.sweeps.expansion import expand
from pruning.sweeps.grid import Grid
from pruning.training.rewinds import RewindWeights
from pruning.training.schedules import Geometric, Polynomial, PolynomialDecay
from pruning.training.starts import Scratch
from pruning.training.tuning import Tuning
from pruning.workload import Workload
from tests.networks import CPU, IMAGE, Residual, taught, workload
from tests.own_workload import rescore_here
from tests.run.test_checkpoints import bits, ended, files, journal, reported_by, started

HALF = Automatic("macs", budget=0.5, max_drop=None, seconds=60)
RECIPE = Recipe(
    "tiny",
    Magnitude(),
    Channels(),
    amount=HALF,
    schedule=Polynomial(2),
    tuning=Tuning(epochs=2, batch_size=64, learning_rate=0.02),
    repair=LeastSquares(samples=64),
)


def carried_out(
    work: Workload, recipe: Recipe, stop: Callable[[], bool] = lambda: False
) -> tuple[list[Event], Recipe, PruneResult]:
    """All events, and what the run returned."""
    seen: list[Event] = []
    run = prune_within_memory(work, recipe, CPU, stop)
    while True:
        try:
            seen.append(next(run))
        except StopIteration as end:
            return seen, *end.value


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "score_files_afresh", rescore_here)


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[Searched]:
    """What each search came to."""
    real, found = automatic.search, list[Searched]()

    def noted(*arguments: Any) -> Generator[Searched, None, Searched]:
        found.append((yield from real(*arguments)))
        return found[-1]

    monkeypatch.setattr(automatic, "search", noted)
    return found


def finding(monkeypatch: pytest.MonkeyPatch, best: FrontPoint | None, met: bool) -> None:
    """Let the search find this."""

    def made(_work: Any, recipe: Recipe, goal: Any, *_rest: Any) -> Generator[Searched, None, Searched]:
        now = Searched(goal, recipe, "each group alone", (), None, False, 1, 9, 0.8, 1e6, 1.0)
        yield now
        return replace(now, phase="", best=best, met=met, evaluations=9)

    monkeypatch.setattr(automatic, "search", made)


def never(*_: Any) -> Generator[Searched, None, Searched]:
    raise AssertionError("it searched")
    yield


def test_a_run_searches_first_and_then_is_the_run_of_the_amount_that_was_found() -> None:
    work = taught("residual")
    events, asked, result = carried_out(work, RECIPE)
    found = amount_found(events)
    assert found is not None and found.met and found.cost == "macs" and found.left <= 0.5 and asked == RECIPE
    place = events.index(found)
    assert {type(event) for event in events[:place]} == {Searching} and isinstance(events[place + 1], Started)
    other = replace(RECIPE, scope=WithinLayer(), amount=PerLayer(found.shares))
    alone, _, expected = carried_out(work, other)
    assert events[place + 1 :] == alone
    assert bits(result) == bits(expected) and result.stages == expected.stages
    assert result.stages["tuned"].macs <= 0.5 * result.stages["dense"].macs
    # the search has measured the repaired cut; so has the run
    assert result.stages["dense"].validation - result.stages["repaired"].validation == pytest.approx(found.drop)


def test_the_phases_of_the_search_are_said_once_each() -> None:
    events, _, _ = carried_out(taught("residual"), replace(RECIPE, schedule=Polynomial(1), tuning=Tuning(epochs=0)))
    seen = [event for event in events if isinstance(event, Searching)]
    assert [event.phase for event in seen if event.begins] == [
        "each group alone", "groups together", "evaluating the best",
    ]  # fmt: skip
    assert [event.cuts for event in seen] == list(range(1, len(seen) + 1)) and seen[-1].planned >= len(seen)
    found = amount_found(events)
    assert found is not None and found.cuts == len(seen) and found.seconds > 0


def test_the_network_that_is_searched_is_the_one_that_is_pruned_where_building_it_draws(searches) -> None:
    work = workload(Residual, IMAGE)
    recipe = replace(RECIPE, tuning=Tuning(epochs=0), schedule=Polynomial(1))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        events, _, result = carried_out(work, recipe)
        assert searches[0].dense == result.stages["dense"].validation
        found = amount_found(events)
        torch.manual_seed(5)
        other = replace(recipe, scope=WithinLayer(), amount=PerLayer(found.shares))
        assert bits(carried_out(work, other)[2]) == bits(result)


def test_another_amount_is_not_searched_for(monkeypatch) -> None:
    monkeypatch.setattr(automatic, "search", never)
    recipe = replace(RECIPE, amount=Sparsity(0.5))
    events, done, _ = carried_out(taught("residual"), recipe)
    assert isinstance(events[0], Started) and done == recipe


def test_limits_that_are_not_kept_are_warned_of_and_the_run_goes_on(monkeypatch) -> None:
    finding(monkeypatch, FrontPoint({"conv1": 0.4}, 0.6, 0.03, 0.0, "measured"), met=False)
    events, _, result = carried_out(taught("residual"), replace(RECIPE, amount=Automatic("macs", 0.5, 0.01)))
    assert [event for event in events if isinstance(event, AmountFound)] == [
        AmountFound("macs", 0.6, 0.03, False, {"conv1": 0.4}, 9, 1.0)
    ]
    (said,) = [event.sentence for event in events if isinstance(event, Warned) and "amount" in event.sentence]
    assert said.replace("\u202f", " ") == (
        "the amount that was found does not keep to what was asked: 60.0 % of the MACs are left, more than 50.0 % and "
        "validation accuracy dropped by 3.00 points, more than 1; the run goes on with the best that was found: allow "
        "more, raise amount.seconds, or choose another repair or granularity"
    )
    assert int((~result.keep["conv1"]).sum()) == 2 and bool(result.keep["stem"].all())


def test_a_budget_that_cannot_be_met_is_refused(monkeypatch) -> None:
    with pytest.raises(RecipeError, match=r"budget is 0.001 of the macs, and 0\.\d+ of it are left"):
        carried_out(taught("residual"), replace(RECIPE, amount=replace(HALF, budget=0.001)))
    finding(monkeypatch, None, met=False)
    with pytest.raises(RecipeError, match=r"found no cut that keeps to the limits of the amount: raise amount\.budget"):
        carried_out(taught("residual"), RECIPE)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"amount": Automatic("macs", None, 1.5)}, r"amount.max_drop is 1.5; it lies between 0 and 1"),
        ({"schedule": PolynomialDecay(end_step=1000)}, r"schedule.end_step is 1000, but tuning takes 10"),
        ({"start": Scratch(1), "rewind": RewindWeights(99), "repair": Recipe("m").repair}, r"rewind.step is 99"),
    ],
)
def test_what_the_run_would_be_refused_for_is_said_before_the_search(monkeypatch, change, sentence) -> None:
    monkeypatch.setattr(automatic, "search", never)
    with pytest.raises(RecipeError, match=sentence):
        carried_out(taught("residual"), replace(RECIPE, **change))


@pytest.mark.parametrize("schedule", [Polynomial(2), Geometric(0.3)])
@pytest.mark.parametrize("calls", [1, 2, 40])
def test_a_run_that_is_stopped_while_it_searches_ends_with_the_dense_network(calls, schedule) -> None:
    """Asked before the first cut, at its first batch, and somewhere on the way."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked >= calls

    events, _, result = carried_out(taught("residual"), replace(RECIPE, schedule=schedule), stop)
    assert result.stopped and all(bool(stays.all()) for stays in result.keep.values())
    assert result.stages["tuned"] == result.stages["dense"]
    assert amount_found(events) is None
    assert any(isinstance(event, Searching) for event in events) == (calls == 40)
    assert any("stopped while it searched" in event.sentence for event in events if isinstance(event, Warned))


def test_memory_that_runs_out_in_the_training_costs_no_second_search(monkeypatch, searches) -> None:
    real = runs.prune

    def short_of_memory(work: Workload, recipe: Recipe, *rest: Any) -> Any:
        if recipe.tuning.batch_size > 32:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return (yield from real(work, recipe, *rest))

    monkeypatch.setattr(runs, "prune", short_of_memory)
    events, done, result = carried_out(taught("residual"), RECIPE)
    assert len(searches) == 1 and sum(isinstance(event, AmountFound) for event in events) == 1
    assert done == replace(RECIPE, tuning=replace(RECIPE.tuning, batch_size=32))
    assert result.stages["tuned"].macs <= 0.5 * result.stages["dense"].macs


@pytest.mark.usefixtures("quick")
def test_a_run_that_goes_on_does_not_search_again_and_ends_with_the_same_bits(tmp_path, monkeypatch, searches) -> None:
    monkeypatch.setattr("pruning.exporters.report.Report.content", lambda *_: b"")
    everything, undisturbed = ended(started(tmp_path / "whole", RECIPE))
    began = next(place for place, event in enumerate(everything) if isinstance(event, Started))
    first_kept = next(place for place, event in enumerate(everything) if isinstance(event, Measured))
    for after in (began + 1, first_kept + 2, first_kept + 9, len(everything) - 4):
        folder = tmp_path / str(after)
        run = started(folder, RECIPE)
        first = list(islice(run, after))
        run.close()
        torch.manual_seed(after)
        searches.clear()
        second, result = ended(started(folder, RECIPE))
        assert isinstance(second[0], Resumed) == (after > first_kept) and len(searches) == (after <= first_kept)
        assert reported_by(journal([first, second])) == reported_by(everything)
        assert result.stages == undisturbed.stages and files(folder) == files(tmp_path / "whole")


@pytest.mark.usefixtures("quick")
def test_the_files_say_what_was_asked_for_and_what_was_found(tmp_path) -> None:
    events, result = ended(started(tmp_path, RECIPE))
    found = amount_found(events)
    assert found is not None and result.run == RECIPE.name and result.verified is not None and result.verified.same
    text = (tmp_path / "out" / "recipe.json").read_text()
    assert from_json(text) == RECIPE
    again = {**json.loads(text), **json.loads(text)["// found"]}
    assert from_json(json.dumps(again)) == replace(RECIPE, scope=WithinLayer(), amount=PerLayer(found.shares))
    page = (tmp_path / "out" / "report.html").read_text().replace("\u202f", " ")
    assert "automatic, cost macs, budget 0.5, seconds 60, batch 1" in page
    assert "of the MACs left" in page and "within what was asked; pruned: " in page


def test_a_sweep_has_an_automatic_amount_as_it_has_any_other() -> None:
    vary = {"amount": [{"kind": "automatic", "cost": "parameters", "seconds": 5}], "amount.max_drop": [0.02, 0.2]}
    base = replace(RECIPE, amount=Sparsity(0.5), schedule=Polynomial(1), tuning=Tuning(epochs=0))
    found = expand(Grid(base, vary, ("dense", "random")))
    assert [planned.role for planned in found.runs] == ["grid", "grid", "dense"]
    assert {refused.values["control"] for refused in found.refused} == {"random"}
    left: list[int] = []
    for planned in found.runs[:2]:
        events, _, result = carried_out(taught("residual"), planned.recipe)
        assert amount_found(events).met
        assert [event.stage for event in events if isinstance(event, StageMeasured)][-1] == "tuned"
        left.append(result.stages["tuned"].nonzero)
    assert left[1] < left[0]  # more may be lost, so less is left
