import json
from dataclasses import dataclass

import numpy as np
import pytest

import pruning.recipe
from pruning.criteria import Activation, Attribution, Magnitude, Taylor
from pruning.errors import RecipeError
from pruning.granularities import Channels, Weights
from pruning.recipe.recipe import Recipe, from_dict, from_json, to_dict, to_json
from pruning.recipe.serialization import to_plain
from pruning.selection.amounts import Budget, PerLayer, RelativeThreshold, Sparsity, Threshold
from pruning.selection.scopes import Global, WithinBlocks, WithinLayer, WithinRow
from pruning.training.schedules import Linear, Polynomial, PolynomialDecay, Until
from pruning.training.tuning import Tuning

OF_THE_ISSUE = """
{"version": 1, "workload": "fashion_cnn", "criterion": {"kind": "magnitude", "p": 1},
 "granularity": {"kind": "weights"}, "scope": {"kind": "global"}, "amount": {"kind": "sparsity", "share": 0.8},
 "schedule": {"kind": "polynomial", "rounds": 5, "power": 3},
 "tuning": {"epochs": 2, "optimiser": "adamw", "learning_rate": 0.003, "batch_size": 128}, "keep_whole": [], "seed": 0}
"""


def test_a_recipe_reads_as_it_is_written():
    assert from_json(OF_THE_ISSUE) == Recipe(
        "fashion_cnn",
        Magnitude(1),
        Weights(),
        Global(),
        Sparsity(0.8),
        Polynomial(5, 3.0),
        Tuning(2, "adamw", 0.003, 128),
    )


def test_json_has_the_version_first_and_then_the_fields_in_their_order():
    recipe = Recipe(
        "m", Taylor(), Channels(), WithinLayer(), PerLayer({"b": 0.5, "a": 0.25}, Threshold(1.5)), keep_whole=("c",)
    )
    text = to_json(recipe)
    assert list(json.loads(text)) == [
        *(
            "version",
            "workload",
            "criterion",
            "granularity",
            "scope",
            "amount",
            "schedule",
            "tuning",
            "keep_whole",
            "seed",
        )
    ]
    assert json.loads(text)["criterion"] == {"kind": "taylor", "order": 1}
    assert json.loads(text)["amount"] == {
        "kind": "per_layer",
        "shares": {"a": 0.25, "b": 0.5},
        "rest": {"kind": "threshold", "value": 1.5},
    }
    assert from_json(text) == recipe


@pytest.mark.parametrize(
    "field, choice, plain",
    [
        ("scope", Global("l2"), {"kind": "global", "normalise": "l2"}),
        ("scope", WithinRow(), {"kind": "row"}),
        ("scope", WithinBlocks(8), {"kind": "blocks", "of": 8}),
        ("amount", RelativeThreshold(0.25), {"kind": "relative_threshold", "share": 0.25}),
        ("amount", Threshold(-0.5), {"kind": "threshold", "value": -0.5}),
        ("amount", Budget("parameters", 0.2), {"kind": "budget", "of": "parameters", "share": 0.2}),
        (
            "amount",
            PerLayer({"a": 0.5}, Budget("parameters", 0.2)),
            {
                "kind": "per_layer",
                "shares": {"a": 0.5},
                "rest": {"kind": "budget", "of": "parameters", "share": 0.2},
            },
        ),
        ("schedule", Until(0.02, 8), {"kind": "until", "max_drop": 0.02, "rounds": 8}),
        (
            "schedule",
            PolynomialDecay(0.5, 10, 90, 20, 2.0),
            {
                "kind": "polynomial_decay",
                "initial": 0.5,
                "begin_step": 10,
                "end_step": 90,
                "frequency": 20,
                "power": 2.0,
            },
        ),
    ],
)
def test_every_choice_is_written_with_its_values(field, choice, plain):
    recipe = Recipe("m", **{field: choice})
    assert to_dict(recipe)[field] == plain and from_dict({"version": 1, "workload": "m", field: plain}) == recipe


def test_what_came_later_in_tuning_is_written_only_where_it_is_used():
    old = {"epochs": 2, "optimiser": "adamw", "learning_rate": 0.003, "batch_size": 128, "images_per_epoch": None}
    assert to_dict(Recipe("m"))["tuning"] == old and Recipe("m").name == "7f339951"
    said = {"curve": "cosine", "warm_up": 0.1, "weight_decay": 0.0, "momentum": 0.5, "average": 0.99}
    more = {"label_smoothing": 0.1, "mixup": 0.2, "patience": 3}
    recipe = Recipe("m", tuning=Tuning(**said, **more))
    assert to_dict(recipe)["tuning"] == old | said | more and from_json(to_json(recipe)) == recipe


def test_patience_needs_a_training_for_each_round():
    with pytest.raises(RecipeError, match=r"tuning\.patience .* schedule polynomial_decay has one training for all"):
        Recipe("m", schedule=PolynomialDecay(), tuning=Tuning(patience=2))
    assert Recipe("m", schedule=Polynomial(), tuning=Tuning(patience=2)).tuning.patience == 2


def test_what_is_not_given_has_its_default():
    assert from_json('{"version": 1, "workload": "m"}') == Recipe("m")


def test_keys_that_start_with_slashes_are_comments():
    amount = '{"kind": "sparsity", "// share": "much", "share": 0.9}'
    text = f'{{"version": 1, "//": "a note", "workload": "m", "amount": {amount}}}'
    assert from_json(text) == Recipe("m", amount=Sparsity(0.9))


def test_the_name_is_of_the_content_alone():
    one = Recipe("m", amount=PerLayer({"a": 0.1, "b": 0.2}))
    assert one.name == Recipe("m", amount=PerLayer({"b": 0.2, "a": 0.1})).name
    assert len(one.name) == 8 and int(one.name, 16) >= 0
    assert one.name != Recipe("m", amount=PerLayer({"a": 0.1, "b": 0.3})).name != Recipe("m", seed=1).name
    assert from_json(to_json(one)).name == one.name


@pytest.mark.parametrize(
    "written, meant",
    [
        (Recipe("m", amount=Sparsity(1)), Recipe("m", amount=Sparsity(1.0))),
        (Recipe("m", amount=Sparsity(-0.0)), Recipe("m", amount=Sparsity(0.0))),
        (Recipe("m", amount=PerLayer({"a": 0})), Recipe("m", amount=PerLayer({"a": -0.0}))),
        (Recipe("m", schedule=Polynomial(5, 3)), Recipe("m", schedule=Polynomial(5, 3.0))),
        (from_dict({"version": 1, "workload": "m", "criterion": {"kind": "magnitude", "p": 1.0}}), Recipe("m")),
    ],
    ids=["1", "-0.0", "0", "3", "p"],
)
def test_equal_recipes_have_equal_names(written, meant):
    assert written == meant and to_json(written) == to_json(meant) and written.name == meant.name


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"version": 2}, "version is 2; this program reads recipes of version 1"),
        ({"version": None}, "version is missing; this program reads"),
        ({"workload": 5}, "workload is 5; it is a text"),
        ({"tuning": {"epochs": 10**400}}, "tuning.epochs is a number of many digits; it lies"),
        ({"tuning": {"epochs": -(10**400)}}, "tuning.epochs is a number of many digits; it lies"),
        ({"colour": "red"}, "colour is not a field; use amount, criterion, "),
        ({"criterion": "magnitude"}, 'criterion is "magnitude"; it is an object such as {"kind": "magnitude"}'),
        (
            {"criterion": {"kind": "magic"}},
            'criterion.kind is "magic"; use one of ablation, activation, apoz, attribution,',
        ),
        ({"criterion": {}}, "criterion.kind is missing; use one of"),
        ({"criterion": {"kind": ["a"]}}, 'criterion.kind is ["a"]; use one of'),
        ({"criterion": {"kind": "magnitude", "p": 3}}, "criterion.p is 3; use one of 1, 2"),
        ({"criterion": {"kind": "magnitude", "p": True}}, "criterion.p is true; use one of 1, 2"),
        ({"criterion": {"kind": "magnitude", "q": 3}}, "criterion.q is not a field; use p"),
        ({"scope": {"kind": "layer", "x": 1}}, "scope.x is not a field; use none"),
        ({"scope": {"kind": "global", "x": 1}}, "scope.x is not a field; use normalise"),
        ({"amount": {"kind": "sparsity", "share": 1.5}}, "amount.share is 1.5; it lies between 0 and 1"),
        ({"amount": {"kind": "sparsity", "share": "half"}}, 'amount.share is "half"; it is a number'),
        ({"amount": {"kind": "sparsity", "share": True}}, "amount.share is true; it is a number"),
        ({"amount": {"kind": "sparsity", "share": float("nan")}}, "amount.share is NaN; it is a number"),
        ({"amount": {"kind": "sparsity", "share": 10**400}}, "amount.share is 1000"),
        ({"amount": {"kind": "threshold", "value": "low"}}, 'amount.value is "low"; it is a number'),
        ({"amount": {"kind": "threshold", "value": float("inf")}}, "amount.value is Infinity; it is a number"),
        ({"amount": {"kind": "budget", "of": "MACs"}}, 'amount.of is "MACs"; use one of parameters, bytes, macs'),
        ({"amount": {"kind": "relative_threshold", "share": 2}}, "amount.share is 2.0; it lies between 0 and 1"),
        ({"scope": {"kind": "blocks", "of": 1}}, "scope.of is 1; it lies between 2 and 64"),
        ({"scope": {"kind": "blocks", "of": 4.5}}, "scope.of is 4.5; it is a whole number"),
        (
            {"scope": {"kind": "global", "normalise": None}},
            "scope.normalise is missing; use one of none, mean, l2, max",
        ),
        ({"schedule": {"kind": "until", "max_drop": -1}}, "schedule.max_drop is -1.0; it is 0 or more"),
        (
            {"schedule": {"kind": "polynomial_decay", "begin_step": 9, "end_step": 9}},
            "schedule.begin_step is 9 and end_step 9; the begin comes before the end",
        ),
        ({"schedule": {"kind": "linear", "power": 3}}, "schedule.power is not a field; use rounds"),
        ({"amount": {"kind": "per_layer", "shares": {"a": 2}}}, "amount.shares.a is 2.0; it lies between 0 and 1"),
        (
            {"amount": {"kind": "per_layer", "shares": [1]}},
            "amount.shares is [1]; it is an object with a number from 0 to 1 for each layer",
        ),
        (
            {"amount": {"kind": "per_layer", "rest": {"kind": "per_layer"}}},
            'amount.rest.kind is "per_layer"; use one of budget, relative_threshold, sparsity, threshold',
        ),
        ({"schedule": {"kind": "polynomial", "rounds": 2.5}}, "schedule.rounds is 2.5; it is a whole number"),
        ({"schedule": {"kind": "polynomial", "rounds": 0}}, "schedule.rounds is 0; it lies between 1 and 1000"),
        ({"tuning": []}, "tuning is []; it is an object with fields"),
        ({"tuning": {"optimiser": "adam"}}, 'tuning.optimiser is "adam"; use one of adamw, sgd'),
        ({"tuning": {"epochs": True}}, "tuning.epochs is true; it is a whole number"),
        ({"tuning": {"batch_size": 1}}, "tuning.batch_size is 1; it lies between 2 and"),
        ({"keep_whole": "conv1"}, 'keep_whole is "conv1"; it is a list of layer names'),
        ({"keep_whole": [1]}, "keep_whole is [1]; it is a list of layer names"),
        ({"seed": -1}, "seed is -1; it lies between 0 and 2147483647"),
        ({"seed": 0.5}, "seed is 0.5; it is a whole number from 0 to 2147483647"),
        (
            {"amount": {"kind": "per_layer", "rest": {"kind": "sparsity", "share": 2}}},
            "amount.rest.share is 2.0; it lies between 0 and 1",
        ),
        (
            {"amount": {"kind": "per_layer", "rest": {"kind": "sparsity", "share": "2"}}},
            'amount.rest.share is "2"; it is a number from 0 to 1',
        ),
        (
            {"amount": {"kind": "per_layer", "rest": {"kind": "budget", "x": 1}}},
            "amount.rest.x is not a field; use of,",
        ),
        (
            {"amount": {"kind": "per_layer", "rest": {"kind": "budget", "of": 1}}},
            "amount.rest.of is 1; use one of parameters, bytes, macs",
        ),
        (
            {"amount": {"kind": "per_layer", "rest": 0.5}},
            'amount.rest is 0.5; it is an object such as {"kind": "sparsity"}',
        ),
        (
            {"amount": {"kind": "per_layer", "shares": {"a": 0.5, "b": "x"}}},
            'amount.shares.b is "x"; it is a number from 0 to 1',
        ),
        ({"tuning": {"images_per_epoch": 2.5}}, "tuning.images_per_epoch is 2.5; it is a whole number from 2 to"),
        ({"tuning": {"images_per_epoch": 1}}, "tuning.images_per_epoch is 1; it lies between 2 and"),
        ({"tuning": {"images_per_epoch": 9}}, "tuning.images_per_epoch is 9; it is at least the batch size, 128"),
    ],
)
def test_a_bad_field_is_named_with_its_value_and_the_way_out(changes, sentence):
    with pytest.raises(RecipeError) as caught:
        from_dict({"version": 1, "workload": "m"} | changes)
    assert sentence in str(caught.value)


def test_a_missing_workload_is_named():
    with pytest.raises(RecipeError, match=r"^workload is missing; it is a text$"):
        from_json('{"version": 1}')


@pytest.mark.parametrize(
    "text, sentence",
    [
        ('{"version": 1,}', "the recipe is not JSON: line 1, column 15"),
        ("", "the recipe is not JSON: line 1, column 1"),
        ("[1]", "a recipe is a JSON object, not [1]"),
        ("null", "a recipe is a JSON object, not null"),
        ('{"workload": "m"}', "version is missing; this program reads recipes of version 1: "),
        ("[" * 100000, "brackets too deep"),
        ('{"version": ' + "9" * 5000 + "}", "a number too long"),
        (r'{"workload": "\ud800"}', "the recipe holds half of a character, which is no text; write it anew"),
        (r'{"\ud800": 1}', "the recipe holds half of a character"),
    ],
)
def test_what_is_no_recipe_is_refused_in_a_sentence(text, sentence):
    with pytest.raises(RecipeError) as caught:
        from_json(text)
    assert sentence in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize("criterion", [Activation(), Attribution()])
def test_a_criterion_that_does_not_score_the_units_is_refused(criterion):
    with pytest.raises(RecipeError, match=r"scores channels, not single weights: choose granularity channels"):
        Recipe("m", criterion, Weights())


def test_a_layer_cannot_be_kept_whole_and_cut():
    with pytest.raises(RecipeError, match=r"b is in keep_whole and in amount\.shares; take it out of one of them"):
        Recipe("m", amount=PerLayer({"a": 0.5, "b": 0.5}), keep_whole=("b",))


def test_a_dict_is_what_json_would_read():
    recipe = Recipe("m", keep_whole=("a",))
    assert json.loads(to_json(recipe)) == to_dict(recipe)


def test_keep_whole_is_a_set_and_is_listed_sorted():
    recipe = Recipe("m", keep_whole=("b", "a", "b"))
    assert recipe.keep_whole == frozenset({"a", "b"})
    assert to_dict(recipe)["keep_whole"] == ["a", "b"]
    other = from_dict({"version": 1, "workload": "m", "keep_whole": ["b", "a"]})
    assert other == recipe and other.name == recipe.name


@pytest.mark.parametrize("given", [("conv1", "conv2"), ["conv2", "conv1"], {"conv1": 1, "conv2": 2}.keys()])
def test_keep_whole_may_be_given_as_any_collection(given):
    assert Recipe("m", keep_whole=given).keep_whole == {"conv1", "conv2"}


def test_one_name_alone_is_no_set_of_names():
    with pytest.raises(RecipeError, match=r'^keep_whole is "conv1"; it is a set of layer names$'):
        Recipe("m", keep_whole="conv1")


OF_VERSION_1 = [
    ('{"version": 1, "workload": "m"}', "7f339951"),
    (
        """{"version": 1, "workload": "fashion_cnn", "criterion": {"kind": "taylor", "order": 1},
        "granularity": {"kind": "channels"}, "scope": {"kind": "global", "normalise": "none"},
        "amount": {"kind": "per_layer", "shares": {"a": 0.25, "b": 0.5}, "rest": {"kind": "sparsity", "share": 0.0}},
        "schedule": {"kind": "one_shot"}, "tuning": {"epochs": 2, "optimiser": "adamw", "learning_rate": 0.003,
        "batch_size": 128, "images_per_epoch": null}, "keep_whole": ["c", "d"], "seed": 7}""",
        "af892221",
    ),
]


@pytest.mark.parametrize("text, name", OF_VERSION_1, ids=["short", "long"])
def test_files_of_version_1_keep_their_names(text, name):
    """The names were made by the program that wrote them first: runs in a store are found by them."""
    assert from_json(text).name == name


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"criterion": "taylor"}, "criterion is 'taylor'; it is a value such as Magnitude()"),
        ({"criterion": Taylor}, "criterion is the class Taylor; it is a value: write Taylor()"),
        ({"scope": None}, "scope is None; it is a value such as Global()"),
        (
            {"criterion": Channels()},
            "criterion is Channels(), which is a choice of granularity; pass it as granularity=...",
        ),
        ({"seed": 0.5}, "seed is 0.5; it is a whole number from 0 to 2147483647"),
        ({"seed": True}, "seed is True; it is a whole number from 0 to 2147483647"),
    ],
)
def test_in_python_too_a_field_that_holds_something_else_is_named(fields, sentence):
    with pytest.raises(RecipeError) as caught:
        Recipe("m", **fields)
    assert str(caught.value) == sentence


@dataclass(frozen=True)
class Careless(Sparsity):
    """An amount that forgets to check its share."""

    def __post_init__(self) -> None:
        pass


def test_a_row_that_checks_nothing_is_checked_where_it_stands():
    with pytest.raises(RecipeError, match=r"^amount\.share is 2\.0; it lies between 0 and 1$"):
        Recipe("m", amount=Careless(2.0))
    with pytest.raises(RecipeError, match=r"^amount\.rest\.share is 2\.0; it lies between 0 and 1$"):
        Recipe("m", amount=PerLayer(rest=Careless(2.0)))


def test_numbers_of_numpy_are_numbers():
    recipe = Recipe("m", amount=Sparsity(np.float32(0.25)), schedule=Linear(np.int64(3)), seed=np.int64(4))
    assert to_json(recipe) == to_json(Recipe("m", amount=Sparsity(0.25), schedule=Linear(3), seed=4))


def test_a_class_of_no_table_has_no_json_and_the_way_out_is_said():
    recipe = Recipe("m", amount=Careless(0.5))
    with pytest.raises(RecipeError, match=r"^Careless is in no table of choices; add it to its table, as in CRITERIA"):
        to_json(recipe)


def test_the_package_gives_the_few_names_that_people_need():
    assert set(pruning.recipe.__all__) == {
        "CHOICES",
        "Recipe",
        "from_dict",
        "from_json",
        "kind_of",
        "to_dict",
        "to_json",
    }
    assert all(hasattr(pruning.recipe, name) for name in pruning.recipe.__all__)


@pytest.mark.parametrize(
    "value, shown",
    [
        ("x" * 58, f'"{"x" * 58}"'),  # with its quotes 60 characters
        ("x" * 59, f'"{"x" * 56}...'),  # of 61 the first 57
        ({1, 2}, '"{1, 2}"'),  # no value of JSON: as Python writes it
    ],
)
def test_a_value_is_shown_up_to_sixty_characters(value, shown):
    with pytest.raises(RecipeError) as caught:
        from_dict({"version": value})
    assert str(caught.value).startswith(f"version is {shown}; ")


def test_a_value_is_plain_also_where_its_type_is_not_known():
    assert to_plain(Sparsity(0.25)) == {"kind": "sparsity", "share": 0.25}
    assert to_plain({"b": 1, "a": 2.5}) == {"a": 2.5, "b": 1}
    assert json.dumps(to_plain(3, float | None)) == "3.0" and json.dumps(to_plain(3.0, int | None)) == "3"
