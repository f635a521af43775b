"""Controls: trained for exactly as long as what they are compared with, and cut as much or not at all."""

from dataclasses import replace

import pytest

from pruning.criteria import Random, Taylor
from pruning.errors import RecipeError
from pruning.events import Started, TuningStep
from pruning.granularities import Channels, Weights
from pruning.recipe.controls import CONTROLS, controls_of, dense_control, random_control
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.repair import LeastSquares
from pruning.selection.amounts import Automatic, Budget, PerLayer, RelativeThreshold, Sparsity, Threshold
from pruning.selection.scopes import WithinLayer
from pruning.training.schedules import SCHEDULES, Geometric, Linear, OneShot, Polynomial, PolynomialDecay, RigL, Until
from pruning.training.tuning import Tuning
from tests.networks import carried_out, tiny

QUICK = Tuning(epochs=2, batch_size=100, learning_rate=0.01)
RECIPE = Recipe("m", Taylor(), Channels(), WithinLayer(), Sparsity(0.4), Polynomial(2), QUICK, seed=3)
SHORT = {
    "polynomial_decay": PolynomialDecay(end_step=4, frequency=2),
    "until": Until(max_drop=1.0, rounds=2),
    "rigl": RigL(0.5, 2),
}


@pytest.mark.parametrize("kind", SCHEDULES)
def test_the_dense_control_trains_as_long_and_cuts_nothing(kind: str) -> None:
    granularity = Weights() if kind == "rigl" else RECIPE.granularity
    recipe = replace(RECIPE, schedule=SHORT.get(kind) or SCHEDULES[kind](), granularity=granularity)
    work = tiny("mlp")
    pruned, _ = carried_out(work, recipe)
    dense, result = carried_out(work, dense_control(recipe))
    began = next(event for event in pruned if isinstance(event, Started))
    assert began.steps == dense[0].steps > 0
    assert max(e.step for e in pruned if isinstance(e, TuningStep)) == max(
        event.step for event in dense if isinstance(event, TuningStep)
    )
    assert all(bool(stays.all()) for stays in result.keep.values())
    assert result.stages["tuned"].parameters == result.stages["dense"].parameters
    assert result.stages["tuned"].nonzero == result.stages["dense"].nonzero


def test_recipes_that_differ_in_what_they_cut_have_one_dense_control() -> None:
    other = Recipe(
        "m", amount=Budget("parameters", 0.3), schedule=Linear(2), tuning=QUICK, seed=3, repair=LeastSquares()
    )
    assert (
        dense_control(RECIPE) == dense_control(replace(other, keep_whole={"0"})) == dense_control(dense_control(other))
    )
    for longer in (replace(RECIPE, seed=4), replace(RECIPE, schedule=Linear(3)), replace(RECIPE, tuning=Tuning())):
        assert dense_control(longer) != dense_control(RECIPE)


@pytest.mark.parametrize("share, rounds", [(0.8, 8), (0.2, 1), (0.36, 2), (0.37, 3)])
def test_rounds_of_a_geometric_schedule_are_counted_from_the_sparsity(share: float, rounds: int) -> None:
    recipe = replace(RECIPE, amount=Sparsity(share), schedule=Geometric(0.2))
    assert dense_control(recipe).schedule == Linear(rounds)


def test_rounds_that_only_the_network_decides_have_to_be_said() -> None:
    recipe = replace(RECIPE, granularity=Weights(), amount=Threshold(0.1), schedule=Geometric())
    with pytest.raises(RecipeError, match=r"schedule geometric with amount threshold .* choose a sparsity"):
        dense_control(recipe)
    assert dense_control(recipe, rounds=4).schedule == Linear(4)
    assert dense_control(replace(RECIPE, schedule=Until(rounds=9)), rounds=3).schedule == Linear(3)


def test_one_training_stays_one_training() -> None:
    decay = PolynomialDecay(end_step=4, frequency=2)
    assert dense_control(replace(RECIPE, schedule=decay)).schedule == decay
    assert dense_control(replace(RECIPE, schedule=OneShot())).schedule == OneShot()


def test_the_random_control_differs_in_the_criterion_alone() -> None:
    control = random_control(RECIPE)
    assert control == replace(RECIPE, criterion=Random()) and random_control(control) == control
    work = tiny("mlp")
    (_, pruned), (_, by_lot) = carried_out(work, RECIPE), carried_out(work, control)
    counts = [{name: int(stays.sum()) for name, stays in each.keep.items()} for each in (pruned, by_lot)]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("amount", [Threshold(0.1), RelativeThreshold(0.1), PerLayer({"a": 0.5}, Threshold(0.1))])
def test_a_threshold_has_no_random_control(amount) -> None:
    with pytest.raises(RecipeError, match="threshold counts in the criterion's own scores"):
        random_control(replace(RECIPE, amount=amount))


def test_an_automatic_amount_has_a_dense_control_and_no_random_one() -> None:
    recipe = replace(RECIPE, amount=Automatic("macs"))
    assert dense_control(recipe) == dense_control(RECIPE)
    with pytest.raises(RecipeError, match="take the amount that a run of the recipe finds"):
        random_control(recipe)


def test_controls_are_recipes_with_names_of_their_own() -> None:
    found = controls_of(RECIPE)
    assert list(found) == list(CONTROLS) == ["dense", "random"]
    for control in found.values():
        assert from_json(to_json(control)) == control and control.name != RECIPE.name
