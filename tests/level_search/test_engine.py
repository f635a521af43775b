"""The search on tiny networks: it keeps to its limits, its costs are exact, and what it says was so."""

from dataclasses import replace

import pytest

from pruning.criteria import Magnitude
from pruning.errors import RecipeError
from pruning.evaluation.accuracy import Evaluator
from pruning.granularities import Channels, Weights
from pruning.level_search.engine import search, steps
from pruning.level_search.joint_cuts import drafts_of, joint_cuts
from pruning.level_search.ongoing import OngoingSearch
from pruning.level_search.result import FrontPoint, Searched, keeps, undominated, with_best
from pruning.model.preparation import open_model
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.repair import Block, LeastSquares, NoRepair, OptimalBrain
from pruning.repair.mended import mended
from pruning.repair.repair import Cut
from pruning.selection.amounts import PerLayer
from pruning.selection.goal import Goal
from pruning.selection.scopes import WithinLayer
from tests.networks import CPU, taught

FEW = LeastSquares(samples=64)


def recipe_of(name: str, weights: bool = False, **more: object) -> Recipe:
    choices = {"criterion": Magnitude(), "granularity": Weights() if weights else Channels(), "repair": FEW, **more}
    return Recipe(name, **choices)  # type: ignore[arg-type]


def found(
    name: str, goal: Goal, recipe: Recipe | None = None, seconds: float = 60.0
) -> tuple[Searched, list[Searched]]:
    making = search(taught(name), recipe or recipe_of(name), goal, seconds, CPU)
    seen: list[Searched] = []
    while True:
        try:
            seen.append(next(making))
        except StopIteration as end:
            return end.value, seen


@pytest.fixture(scope="module")
def halved() -> tuple[Searched, list[Searched]]:
    return found("residual", Goal("macs", budget=0.5))


def test_the_best_cut_keeps_to_the_budget_and_is_measured(halved):
    last, _ = halved
    assert last.done and last.met and last.best is not None
    assert last.best.provenance == "measured" and last.best.cost <= 0.5


def test_progress_only_grows_and_names_its_phases(halved):
    last, seen = halved
    assert [each.evaluations for each in seen] == list(range(1, len(seen) + 1))
    assert last.evaluations == len(seen) <= seen[-1].planned
    assert list(dict.fromkeys(each.phase for each in seen)) == [
        "each group alone", "groups together", "evaluating the best",
    ]  # fmt: skip


def test_cost_and_drop_are_those_of_the_cut_that_the_recipe_says(halved):
    """The recipe, read again from its JSON, cut and repaired by hand."""
    last, _ = halved
    work, best = taught("residual"), last.best
    recipe = from_json(to_json(best.recipe(last.recipe)))
    assert recipe.scope == WithinLayer() and isinstance(recipe.amount, PerLayer)
    cuts = joint_cuts(work, recipe, CPU)
    decision = cuts.ranked.decide(recipe.amount)
    assert decision.sizes.macs / cuts.ranked.cost.macs.total == pytest.approx(best.cost)
    dense = open_model(work, CPU)
    model = decision.masked_copy(dense)
    mended(recipe.repair, Cut(model, dense, decision.masks), work, CPU, recipe.seed)
    validation = Evaluator(work.validation, work.task, CPU)
    assert validation.score(dense) - validation.score(model) == pytest.approx(best.drop, abs=1e-9)
    assert last.dense == validation.score(dense)


def test_a_search_with_the_same_seed_is_the_same(halved):
    again, _ = found("residual", Goal("macs", budget=0.5))
    assert replace(again, seconds=0.0) == replace(halved[0], seconds=0.0)


def test_the_front_falls(halved):
    front = halved[0].front
    assert [point.cost for point in front] == sorted(point.cost for point in front)
    estimated = [point for point in front if point.provenance == "estimated"]
    assert len(estimated) > 2 and all(point.half_width > 0 for point in estimated if point.drop)
    assert [point.drop for point in estimated] == sorted((point.drop for point in estimated), reverse=True)


def test_the_best_is_a_point_of_the_front(halved):
    assert halved[0].best in halved[0].front
    cheaper, best = FrontPoint({}, 0.4, 0.02, 0.0, "measured", 0.03), FrontPoint({}, 0.5, 0.021, 0.0, "measured", 0.02)
    assert undominated([cheaper, best]) == (cheaper,)
    assert with_best((cheaper,), best) == (cheaper, best)
    assert with_best((best,), best) == (best,) and with_best((cheaper,), None) == (cheaper,)


def test_with_a_limit_of_the_drop_the_cheapest_within_it_is_taken():
    last, _ = found("residual", Goal("parameters", max_drop=0.05))
    assert last.met and last.best.drop <= 0.05 and last.best.cost < 1.0
    assert all(
        not keeps(point, last.goal)
        for point in last.front
        if point.provenance == "measured" and point.cost < last.best.cost
    )


def test_a_limit_that_no_cut_keeps_to_is_said():
    last, _ = found("residual", Goal("macs", budget=0.2, max_drop=0.0))
    assert last.best is not None and last.met == (last.best.drop <= 0.0)


def test_weights_are_searched_for_parameters():
    last, _ = found("mlp", Goal("parameters", budget=0.3), recipe_of("mlp", weights=True))
    assert last.met and last.best.cost <= 0.3


def test_layers_that_are_kept_whole_lose_nothing():
    last, _ = found("residual", Goal("macs", budget=0.8), recipe_of("residual", keep_whole={"conv1"}))
    assert "conv1" not in last.best.shares


@pytest.mark.parametrize("cost", ["macs", "bytes", "latency"])
def test_weights_that_are_set_to_zero_make_nothing_faster(cost):
    with pytest.raises(RecipeError, match="weights are only set to zero, which makes no dense kernel faster"):
        found("residual", Goal(cost, budget=0.5), recipe_of("residual", weights=True))


def test_a_budget_that_cannot_be_met_is_refused():
    with pytest.raises(RecipeError, match=r"budget is 0.001 of the macs, and 0\.\d+ of it are left"):
        found("residual", Goal("macs", budget=0.001))


def test_a_search_without_a_limit_is_refused():
    with pytest.raises(RecipeError, match="a search needs a limit"):
        Goal("macs")


def test_a_goal_out_of_its_range_is_refused():
    with pytest.raises(RecipeError, match=r"goal\.budget is 0.0"):
        Goal("macs", budget=0.0)
    with pytest.raises(RecipeError, match="cost is 'speed'; use one of parameters, bytes, macs, latency"):
        Goal("speed", budget=0.5)  # type: ignore[arg-type]


def test_without_time_few_cuts_are_made_and_there_is_an_answer_all_the_same():
    last, _ = found("residual", Goal("macs", budget=0.6), seconds=0.0)
    groups = len(last.best.shares)
    assert last.evaluations <= groups + 2 and last.best is not None


def point(cost: float, drop: float, measured: bool) -> FrontPoint:
    return FrontPoint({}, cost, drop, 0.0, "measured" if measured else "estimated")


def test_a_measured_point_pushes_out_a_worse_estimate_and_no_estimate_a_measured_one():
    cheap, estimate, worse = point(0.4, 0.02, True), point(0.5, 0.01, False), point(0.6, 0.03, True)
    assert undominated([worse, point(0.5, 0.03, False), estimate, cheap]) == (cheap, estimate)
    assert undominated([point(0.3, 0.001, False), cheap]) == (point(0.3, 0.001, False), cheap)


def test_a_page_has_an_estimated_cut_measured_and_once():
    search = OngoingSearch(steps(taught("residual"), recipe_of("residual"), Goal("macs", budget=0.5), 60.0, CPU))
    last = search.advance(1e9)
    point = next(each for each in last.front if each.provenance == "estimated")
    after = search.verify(dict(point.shares))
    assert after.evaluations == last.evaluations + 1
    assert all(each.provenance == "measured" for each in after.front if each.shares == point.shares)
    assert search.verify(dict(point.shares)) == after == search.advance(0.0)


def test_a_cut_that_was_measured_beyond_the_budget_is_not_the_best_within_it():
    goal = Goal("macs", budget=0.5, max_drop=0.0)
    search = OngoingSearch(steps(taught("residual"), recipe_of("residual"), goal, 60.0, CPU))
    before = search.advance(1e9)
    assert before.best is not None
    after = search.verify(dict.fromkeys(before.best.shares, 0.0))  # the dense network
    assert after.evaluations == before.evaluations + 1
    assert after.best is not None and after.best.cost <= 0.5


def test_drafts_train_nothing_and_look_at_fewer_samples():
    assert drafts_of(Block()) == (LeastSquares(), LeastSquares(samples=256))
    assert drafts_of(FEW) == (FEW, FEW)
    assert drafts_of(NoRepair()) == (NoRepair(), NoRepair())
    assert drafts_of(OptimalBrain()) == (OptimalBrain(), OptimalBrain())
