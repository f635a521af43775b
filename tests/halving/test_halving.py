"""What competes and by what: the value, its JSON, its refusals, and what a run is worth."""

from dataclasses import replace
from typing import Any

import pytest

from pruning.errors import RecipeError
from pruning.events import Stage
from pruning.halving.halving import OUTSIDE, Halving, halving_from_json, halving_to_json, keeps_to_limits
from pruning.halving.result import Entry, Ranking, Score, ranked, ranking_from_json, ranking_to_json
from pruning.metric import ACCURACY, Metric
from pruning.recipe.recipe import Recipe
from pruning.selection.goal import Goal
from pruning.sweeps.grid import Grid

GRID = Grid(Recipe("mlp"), {"criterion": ("magnitude", "taylor"), "amount.share": (0.5, 0.9)})
DENSE = Stage(0.5, 0.9, 100, 80, 80, 64, 800, 500)
TUNED = replace(DENSE, score=0.1, validation=0.88, nonzero=20, macs=32, bytes=400)


def test_it_comes_back_from_its_json_without_controls() -> None:
    halving = Halving(GRID, 100, Goal("macs", budget=0.5), rungs=2)
    assert halving_from_json(halving_to_json(halving)) == halving
    assert halving.grid.controls == () and halving.name != Halving(GRID, 100).name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grid": replace(GRID, vary={**GRID.vary, "seed": (0, 1)})}, "the luckiest one"),
        ({"grid": replace(GRID, vary={"criterion": ("taylor",)})}, "nothing competes"),
        ({"goal": Goal("latency", budget=0.5)}, "use parameters, bytes or macs"),
        ({"rungs": 0}, "halving.rungs is 0"),
    ],
)
def test_what_cannot_compete_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        replace(Halving(GRID, 100), **change)


def test_values_that_do_not_go_together_are_refused_with_their_sentence() -> None:
    with pytest.raises(RecipeError, match="geometric_median scores channels"):
        Halving(GRID, 100).recipe({"criterion": {"kind": "geometric_median"}}, 0)


@pytest.mark.parametrize(
    ("goal", "worth"),
    [
        (None, 0.88 / 1.88),  # of worths only the order counts: x / (1 + |x|)
        (Goal("parameters", budget=0.25), 0.88 / 1.88),  # 20 of 80 are left, exactly the budget
        (Goal("parameters", budget=0.2), OUTSIDE - 0.25 / 1.25),  # a quarter too much
        (Goal("macs", max_drop=0.05), 0.5),  # half of the MACs is saved
        (Goal("bytes", max_drop=0.05), 0.5),
        (Goal("macs", max_drop=0.01), OUTSIDE - 2 / 3),  # two points lost, in points
        (Goal("macs", budget=0.5, max_drop=0.05), 0.88 / 1.88),
    ],
)
def test_what_a_run_is_worth(goal: Goal | None, worth: float) -> None:
    found = Halving(GRID, 100, goal).worth(DENSE, TUNED, ACCURACY)
    assert found == pytest.approx(worth, abs=1e-9) and keeps_to_limits(found) == (worth > 0)


def test_of_an_error_the_lower_is_worth_more() -> None:
    error = Metric("MSE", better="lower", low=0.0)
    worth = Halving(GRID, 100).worth
    assert worth(DENSE, replace(TUNED, validation=0.2), error) > worth(DENSE, TUNED, error)
    for validation in (0.5, 5e6, 1e12):  # negative worths, in whatever unit
        kept = Halving(GRID, 100, Goal("macs", budget=0.5)).worth(DENSE, replace(TUNED, validation=validation), error)
        missed = Halving(GRID, 100, Goal("macs", budget=0.4)).worth(DENSE, replace(TUNED, validation=0.0), error)
        assert keeps_to_limits(kept) and not keeps_to_limits(missed) and kept > missed


def test_who_came_further_stands_first_then_who_is_worth_more_and_the_failed_last() -> None:
    def entry(number: int, *worths: float, state: Any = "going on") -> Entry:
        return Entry(number, {"x": number}, tuple(Score("r", 0.5, 0.0, 1.0, worth) for worth in worths), state)

    entries = [entry(0, 0.9), entry(1, 0.1, 0.2), entry(2, 0.95), entry(3), entry(4, 1.0, 1.0, state="failed")]
    found = ranked(entries, 9, [({"x": 7}, "no")])
    assert [each.number for each in found.entries] == [1, 2, 0, 3, 4]
    assert found.best is entries[1]
    assert ranking_from_json(ranking_to_json(found)) == found
    assert ranking_from_json("") == Ranking() and Ranking().best is None
