import json
from dataclasses import dataclass

import pytest

from pruning.amounts import Sparsity
from pruning.criteria import CRITERIA
from pruning.field_docs import field_docs, first_paragraph
from pruning.recipe import from_json
from pruning.starting_recipe import CHOICES, commented, starting_recipe
from pruning.tuning import Tuning
from tests.networks import NETWORKS, seeded


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_written_reads_back(name: str) -> None:
    model = seeded(NETWORKS[name][0])
    recipe = starting_recipe(name, model)
    assert from_json(commented(recipe, model)) == recipe


def test_networks_of_linear_layers_lose_more() -> None:
    assert starting_recipe("mlp", seeded(NETWORKS["mlp"][0])).amount == Sparsity(0.9)
    assert starting_recipe("conv", seeded(NETWORKS["conv"][0])).amount == Sparsity(0.8)


def test_the_comments_tell_every_kind_and_every_field() -> None:
    model = seeded(NETWORKS["mlp"][0])
    told = json.loads(commented(starting_recipe("mlp", model), model))
    for field, (_, table) in CHOICES.items():
        assert {f"kind {kind}" for kind in table} == told[f"// {field}"].keys() - {"about"}
    assert told["// tuning"].keys() - {"about"} == vars(Tuning()).keys()
    assert told["// criterion"]["kind magnitude"]["p"].startswith("1 or 2, by default 1.")
    assert "0 keeps everything, 1 drops everything" in told["// amount"]["kind sparsity"]["share"]
    assert "sparsity or threshold" in told["// amount"]["kind per_layer"]["rest"]
    assert told["// tuning"]["images_per_epoch"].startswith("a whole number or null")
    assert "0, 2, 4" in told["// keep_whole"]


@dataclass(frozen=True)
class Told:
    """What it is,
    on two lines.

    And more.
    """

    first: int = 1
    """The first,
    told on two lines."""
    second: int = 2


def test_docs_are_read_from_under_the_fields() -> None:
    assert field_docs(Told) == {"first": "The first, told on two lines."}
    assert first_paragraph(Told) == "What it is, on two lines."


def test_every_field_that_a_person_can_set_is_told() -> None:
    kinds = [made for _, table in CHOICES.values() for made in table.values()]
    for each in [*kinds, Tuning]:
        fields = getattr(each, "__dataclass_fields__")  # noqa: B009
        own = {name for name, field in fields.items() if field._field_type.name == "_FIELD"}
        assert field_docs(each).keys() == own, each
    assert len(CRITERIA) > 1
