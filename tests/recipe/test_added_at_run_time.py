"""Classes that a person types into a notebook: Python has no source of them, and they work everywhere all the same."""

import json
from typing import Any

import pytest

from pruning.criteria import CRITERIA
from pruning.errors import RecipeError
from pruning.options.docstrings import field_docs, first_paragraph
from pruning.recipe.catalog import in_words, kind_of, rest_rows, takes
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.recipe.reference import as_json, markdown
from pruning.recipe.template import commented
from pruning.selection.amounts import AMOUNTS, PerLayer
from tests.networks import NETWORKS, seeded

TYPED = """
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pruning.criteria import ANY, Magnitude
from pruning.options.constraints import Between
from pruning.selection.amounts import Sparsity


@dataclass(frozen=True)
class Energy:
    '''Sum of the squared weights, to a power.'''

    power: Annotated[int, Between(1, 4)] = 1
    '''The power.'''
    signed: bool = False
    floor: float | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    layers_first: tuple[str, ...] = ()

    formula: ClassVar[str] = "(Σ w²)^power"
    source: ClassVar[str] = "typed in"
    cost: ClassVar[str] = "no pass over data"
    fits: ClassVar[tuple[str, ...]] = ANY
    layers: ClassVar[tuple[str, ...]] = ANY

    score = Magnitude.score


@dataclass(frozen=True)
class Half(Sparsity):
    '''A share of at most a half.'''

    share: Annotated[float, Between(0.0, 0.5)] = field()

    def __post_init__(self):
        pass
"""


@pytest.fixture(autouse=True)
def typed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(TYPED, names)
    monkeypatch.setitem(CRITERIA, "energy", names["Energy"])
    monkeypatch.setitem(AMOUNTS, "half", names["Half"])
    return names


def test_python_has_no_source_of_it_and_its_help_is_empty(typed):
    assert field_docs(typed["Energy"]) == {}
    assert first_paragraph(typed["Energy"]) == "Sum of the squared weights, to a power."


def test_a_class_that_cannot_be_read_by_itself_has_no_help_either():
    class Ragged:
        """A text that
begins further left than its class."""  # fmt: skip

        power: int = 1
        """Never found."""

    assert field_docs(Ragged) == {}


def test_it_stands_in_the_catalog_with_all_that_its_annotations_say(typed):
    assert kind_of(typed["Energy"]()) == "energy" and kind_of(typed["Half"](0.25)) == "half"
    assert takes(typed["Energy"], "power") == "a whole number from 1 to 4"
    rows = {row["kind"]: row for row in as_json()["criterion"]}
    assert [(f["name"], f["takes"], f["default"], f["about"]) for f in rows["energy"]["fields"]] == [
        ("power", "a whole number from 1 to 4", 1, ""),
        ("signed", "true or false", False, ""),
        ("floor", "a number or null", None, ""),
        ("weights", "an object with a number for each layer", {}, ""),
        ("layers_first", "a list of layer names", [], ""),
    ]
    json.dumps(as_json())
    assert "### `energy`" in markdown() and "| `power` | a whole number from 1 to 4 | `1` |  |" in markdown()


def test_a_field_without_a_default_says_so():
    (share,) = next(row["fields"] for row in as_json()["amount"] if row["kind"] == "half")
    assert (share["takes"], share["default"], share["has_default"]) == ("a number from 0 to 0.5", None, False)
    with pytest.raises(RecipeError, match=r"^amount\.rest\.share is missing; it is a number from 0 to 0\.5$"):
        from_json('{"version": 1, "workload": "m", "amount": {"kind": "per_layer", "rest": {"kind": "half"}}}')


def test_it_becomes_json_and_back(typed):
    energy = typed["Energy"](2, True, 0.5, {"b": 1, "a": 0.5}, ("c",))
    for amount in (typed["Half"](0.25), PerLayer({"a": 0.5}, rest=typed["Half"](0.25))):
        recipe = Recipe("m", energy, amount=amount)
        again = from_json(to_json(recipe))
        assert again == recipe and again.name == recipe.name
    assert json.loads(to_json(recipe))["criterion"] == {
        **{"kind": "energy", "power": 2, "signed": True, "floor": 0.5},
        **{"weights": {"a": 0.5, "b": 1.0}, "layers_first": ["c"]},
    }
    assert typed["Half"] in rest_rows().values()


@pytest.mark.parametrize(
    "choice, sentence",
    [
        ({"power": 9}, "criterion.power is 9; it lies between 1 and 4"),
        ({"power": "9"}, 'criterion.power is "9"; it is a whole number from 1 to 4'),
        ({"signed": 1}, "criterion.signed is 1; it is true or false"),
        ({"floor": "low"}, 'criterion.floor is "low"; it is a number or null'),
        ({"weights": {"a": None}}, "criterion.weights.a is missing; it is a number"),
        ({"layers_first": "c"}, 'criterion.layers_first is "c"; it is a list of layer names'),
        ({"colour": 1}, "criterion.colour is not a field; use floor, layers_first, power, signed, weights"),
    ],
)
def test_its_fields_are_checked_as_those_of_every_row(choice, sentence):
    text = json.dumps({"version": 1, "workload": "m", "criterion": {"kind": "energy"} | choice})
    with pytest.raises(RecipeError) as caught:
        from_json(text)
    assert str(caught.value) == sentence


def test_the_starting_recipe_explains_it():
    model = seeded(NETWORKS["conv"][0])
    comments = json.loads(commented(Recipe("conv"), model))
    assert comments["// criterion"]["kind energy"].startswith(
        "Sum of the squared weights, to a power. power: a whole number from 1 to 4, by default 1."
    )
    assert comments["// amount"]["kind half"] == "A share of at most a half. share: a number from 0 to 0.5."


def test_a_type_that_has_no_words_is_called_by_its_name():
    assert in_words(complex) == "<class 'complex'>" and in_words(tuple[int, ...]) == "a list, each a whole number"
