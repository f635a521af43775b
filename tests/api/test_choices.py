"""A string names a choice, an object gives its fields, a recipe says everything; nothing can be said twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from torch import Tensor, nn

from pruning.api.choices import listed, recipe_of
from pruning.criteria import ANY, CRITERIA, Taylor
from pruning.errors import RecipeError
from pruning.granularities import Channels
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.selection.amounts import Budget, Sparsity
from pruning.selection.scopes import WithinLayer
from pruning.training.schedules import Polynomial
from pruning.training.tuning import Tuning


@dataclass(frozen=True)
class SignOnly:
    """A criterion of a person's own."""

    formula: ClassVar[str] = "w > 0"
    source: ClassVar[str] = "a test"
    cost: ClassVar[str] = "none"
    fits: ClassVar[tuple[str, ...]] = ("weights",)
    layers: ClassVar[tuple[str, ...]] = ANY

    def score(self, model: nn.Module, groups: Sequence[Any], calibration: object) -> dict[str, Tensor]:
        return {g.name: (model.get_parameter(g.params[0]) > 0).float().flatten() for g in groups}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is entered into the table is taken out again."""
    monkeypatch.setitem(CRITERIA, "sign_only", SignOnly)
    del CRITERIA["sign_only"]


def test_strings_name_choices_with_their_defaults() -> None:
    made = recipe_of("m", criterion="taylor", granularity="channels", scope="layer", schedule="polynomial")
    assert made == Recipe("m", Taylor(), Channels(), WithinLayer(), schedule=Polynomial())


def test_objects_give_their_fields_and_numbers_stand_for_the_commonest() -> None:
    made = recipe_of("m", criterion=Taylor(order=2), sparsity=0.8, epochs=3, keep_whole=["b", "a", "b"], seed=4)
    assert made == Recipe(
        "m", Taylor(order=2), amount=Sparsity(0.8), tuning=Tuning(epochs=3), keep_whole=("a", "b"), seed=4
    )


def test_what_is_left_out_is_as_in_a_recipe() -> None:
    assert recipe_of("m") == Recipe("m")


def test_a_recipe_says_everything() -> None:
    recipe = Recipe("m", Taylor())
    assert recipe_of("m", recipe=recipe) is recipe
    with pytest.raises(RecipeError, match=r"recipe and epochs are both given.*dataclasses\.replace"):
        recipe_of("m", recipe=recipe, epochs=0)


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({"criterion": "tailor"}, "criterion is 'tailor'; use one of magnitude, .*taylor"),
        ({"scope": "world"}, "scope is 'world'; use one of global, layer, row, blocks"),
        ({"criterion": Taylor}, r"criterion is the class Taylor; give an object: Taylor\(\)"),
        ({"sparsity": 0.5, "amount": Budget()}, "sparsity and amount are both given"),
        ({"epochs": 1, "tuning": Tuning()}, "epochs and tuning are both given"),
        ({"sparsity": 1.5}, "share is 1.5"),
        ({"criterion": "geometric_median", "granularity": "weights"}, "geometric_median scores channels, not"),
    ],
)
def test_what_does_not_fit_is_said_with_the_way_out(choices: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        recipe_of("m", **choices)


@pytest.mark.usefixtures("table")
def test_a_criterion_of_ones_own_gets_a_name_so_that_its_recipe_can_be_written() -> None:
    made = recipe_of("m", criterion=SignOnly())
    assert from_json(to_json(made)) == made and '"kind": "sign_only"' in to_json(made)
    assert recipe_of("m", criterion="sign_only") == made


@pytest.mark.usefixtures("table")
def test_a_class_that_is_typed_in_anew_takes_the_place_of_the_old_one() -> None:
    listed(SignOnly())
    newer = type("SignOnly", (SignOnly,), {})
    listed(newer())
    assert CRITERIA["sign_only"] is newer


def test_the_name_of_a_built_in_criterion_is_refused() -> None:
    pretender = type("Taylor", (SignOnly,), {})
    with pytest.raises(RecipeError, match=r"class Taylor, whose name is a built-in criterion's; rename it"):
        listed(pretender())
    assert CRITERIA["taylor"] is Taylor
