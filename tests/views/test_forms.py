"""The forms are the tables: every kind can be chosen on the page, and what its controls say is what its fields were."""

from dataclasses import fields, replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pruning.criteria import CRITERIA, Attribution, Change, OptimalBrainSurgeon
from pruning.granularities import GRANULARITIES, Channels, Weights
from pruning.recipe import catalog
from pruning.recipe.compatibility import fits
from pruning.recipe.recipe import Recipe, from_json
from pruning.selection.amounts import AMOUNTS, Automatic, Budget, PerLayer, RelativeThreshold, Sparsity, Threshold
from pruning.selection.scopes import SCOPES, Global, WithinBlocks
from pruning.training.schedules import SCHEDULES, Geometric, PolynomialDecay, Until
from pruning.training.starts import Scratch
from pruning.training.tuning import Tuning
from tests.views.test_lab_page import QUICK, opened, settled, strip
from views.shared.recipe_sidebar import rows

CHOICES = [(choice, kind) for choice in catalog.CHOICES for kind in rows(choice)]
# on a perceptron these have something to cut
GRANULARITY_OF = {kind: next(g for g in ("weights", "channels") if fits(made, g)) for kind, made in CRITERIA.items()}


def recipe_with(choice: str, kind: str) -> Recipe:
    made: Any = rows(choice)[kind]()
    if choice == "criterion":
        return replace(QUICK, criterion=made, granularity=GRANULARITIES[GRANULARITY_OF[kind]]())
    fitting = {"start": Scratch()} if kind == "weights" and choice == "rewind" else {}
    return replace(QUICK, **{choice: made, **fitting})


@pytest.mark.parametrize("choice, kind", [(c, k) for c, k in CHOICES if c not in ("criterion", "granularity")])
def test_every_kind_of_the_short_tables_is_shown_by_its_controls_and_given_back(app, choice, kind):
    recipe = recipe_with(choice, kind)
    opened(app, recipe)
    app.session_state["fold_start"] = True
    app.run()
    assert [error.value for error in app.error] == []
    assert from_json(app.query_params["recipe"]) == recipe
    drawn = {element.key for element in [*app.slider, *app.number_input, *app.selectbox, *app.checkbox] if element.key}
    drawn |= {element.key for element in app.get("button_group")} if app.get("button_group") else set()
    made = rows(choice)[kind]
    assert {f"{choice}.{kind}.{field.name}" for field in fields(made)} <= drawn | {f"{choice}.{kind}.rest"}


@pytest.mark.parametrize(
    "recipe",
    [
        replace(QUICK, criterion=Change(), scope=Global("l2")),
        replace(QUICK, criterion=OptimalBrainSurgeon(damping=0.05), scope=WithinBlocks(of=8)),
        replace(QUICK, criterion=Attribution("grad_cam", steps=3, samples=64), granularity=Channels()),
        replace(QUICK, amount=Threshold(0.0375), granularity=Weights(bare_parameters=True)),
        replace(QUICK, amount=RelativeThreshold(0.255)),
        replace(QUICK, amount=Budget("macs", 0.4), granularity=Channels()),
        replace(QUICK, amount=Automatic("latency", 0.35, None, 60, 8), granularity=Channels()),
        replace(QUICK, amount=Automatic("bytes", None, 0.025), granularity=Channels()),
        replace(QUICK, amount=PerLayer({"fc2": 0.25}, rest=Budget("parameters", 0.35)), granularity=Weights()),
        replace(QUICK, schedule=PolynomialDecay(0.25, 2, 8, 2, 2.0), tuning=Tuning(epochs=4, images_per_epoch=256)),
        replace(QUICK, tuning=Tuning(1, "sgd", 0.1, 64, None, "cosine", 0.05, 5e-4, 0.85, 0.9995, 0.15, 0.35, 4)),
        replace(QUICK, tuning=Tuning(weight_decay=0.0, momentum=0.0)),
        replace(QUICK, schedule=Geometric(0.33)),
        replace(QUICK, schedule=Until(0.02, 4), seed=9),
    ],
    ids=lambda recipe: recipe.name,
)
def test_fields_of_every_sort_come_back_as_they_were(app: AppTest, recipe: Recipe) -> None:
    opened(app, recipe)
    assert [error.value for error in app.error] == []
    assert from_json(app.query_params["recipe"]) == recipe


@pytest.mark.parametrize("kind", CRITERIA)
def test_choosing_a_criterion_shows_its_formula_source_and_cost(app: AppTest, kind: str) -> None:
    app.query_params["recipe"] = '{"version": 1, "workload": "mlp_128"}'
    app.run()
    app.selectbox(key="criterion").set_value(kind).run()
    assert not app.exception
    made = CRITERIA[kind]
    assert any(made.formula in text.value and made.source in text.value for text in app.caption)
    # either it scores weights and the recipe says so, or a sentence says what to choose
    if fits(made, "weights"):
        assert from_json(app.query_params["recipe"]).criterion == made()
    else:
        assert f"{kind} scores" in app.error[0].value and "choose granularity" in app.error[0].value


@pytest.mark.parametrize("kind", GRANULARITIES)
def test_every_granularity_is_shown_or_says_that_the_network_has_none(app: AppTest, kind: str) -> None:
    opened(app, replace(QUICK, granularity=GRANULARITIES[kind]()))
    if kind in ("weights", "blocks", "channels"):
        assert [error.value for error in app.error] == []
        assert "estimated" in strip(app) or "measured" in strip(app)
    else:
        assert f"no {GRANULARITIES[kind].unit} in this network can be pruned" in app.error[0].value


def test_all_of_tuning_is_drawn_once_and_an_empty_box_says_what_counts(app: AppTest) -> None:
    opened(app, QUICK)
    app.session_state["fold_averages"] = app.session_state["fold_optimiser"] = True
    app.run()
    drawn = [str(element.key) for element in [*app.slider, *app.number_input, *app.selectbox] if element.key]
    drawn += [str(element.key) for element in app.get("button_group")]
    assert sorted(key for key in drawn if key.startswith("tuning.")) == sorted(
        f"tuning.{f.name}" for f in fields(Tuning)
    )
    words = {"weight_decay": "by optimiser", "momentum": "by curve", "patience": "no limit", "images_per_epoch": "all"}
    for field, word in words.items():
        assert app.number_input(key=f"tuning.{field}").placeholder == word


def test_a_patience_that_does_not_fit_the_schedule_says_what_to_choose(app: AppTest) -> None:
    opened(app, replace(QUICK, tuning=Tuning(patience=2)))
    app.selectbox(key="schedule").set_value("polynomial_decay").run()
    assert "leave tuning.patience empty" in app.error[0].value


def test_a_limit_that_may_be_left_out_is_none_where_its_box_is_empty(app: AppTest) -> None:
    opened(app, replace(QUICK, amount=Automatic("parameters", 0.5, 0.02)))
    assert app.number_input(key="amount.automatic.budget").placeholder == "no limit"
    app.number_input(key="amount.automatic.max_drop").set_value(None).run()
    assert from_json(app.query_params["recipe"]).amount == Automatic("parameters", 0.5, None)
    app.number_input(key="amount.automatic.budget").set_value(None).run()
    assert "a search needs a limit" in app.error[0].value


def test_a_field_that_is_changed_changes_the_recipe(app: AppTest) -> None:
    opened(app, replace(QUICK, scope=WithinBlocks()))
    app.number_input(key="scope.blocks.of").set_value(8).run()
    assert from_json(app.query_params["recipe"]).scope == WithinBlocks(8)
    app.session_state["fold_optimiser"] = True
    app.run()
    app.number_input(key="tuning.batch_size").set_value(64).run()
    assert from_json(app.query_params["recipe"]).tuning.batch_size == 64


def test_layers_set_by_rule_stand_in_their_rows_and_are_cleared(app: AppTest) -> None:
    opened(app, replace(QUICK, amount=Sparsity(0.8)))
    next(button for button in app.button if button.label == "ERK").click().run()
    amount = from_json(app.query_params["recipe"]).amount
    assert isinstance(amount, PerLayer) and amount.shares.keys() == {"fc1", "fc2"}
    assert amount.shares["fc1"] > 0.8 > amount.shares["fc2"]  # the small layer keeps more
    next(button for button in app.button if button.label == "clear").click().run()
    assert from_json(app.query_params["recipe"]).amount == Sparsity(0.8)


def test_every_table_of_the_page_is_the_librarys() -> None:
    assert rows("criterion") is CRITERIA and rows("granularity") is GRANULARITIES
    assert rows("scope") is SCOPES and rows("schedule") is SCHEDULES
    assert rows("amount") == {kind: made for kind, made in AMOUNTS.items() if made is not PerLayer}


def test_an_amount_that_is_added_later_is_offered_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AMOUNTS, "other", Sparsity)
    assert "other" in rows("amount")


def test_a_budget_is_met_on_the_page(app: AppTest) -> None:
    opened(app, replace(QUICK, granularity=Channels(), amount=Budget("macs", 0.5), scope=Global("mean")))
    settled(app)
    assert "50" in strip(app) or "49" in strip(app)
