import json
from dataclasses import dataclass, fields

import pytest

from pruning.criteria import CRITERIA
from pruning.options.docstrings import field_docs, first_paragraph
from pruning.recipe.catalog import CHOICES
from pruning.recipe.recipe import from_json
from pruning.recipe.template import commented, starting_recipe
from pruning.selection.amounts import Sparsity
from pruning.training.schedules import Polynomial
from pruning.training.tuning import Tuning
from tests.networks import NETWORKS, seeded


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_written_reads_back(name: str) -> None:
    model = seeded(NETWORKS[name][0])
    recipe = starting_recipe(name, model)
    assert from_json(commented(recipe, model)) == recipe


def test_networks_of_linear_layers_lose_more() -> None:
    assert starting_recipe("mlp", seeded(NETWORKS["mlp"][0])).amount == Sparsity(0.9)
    assert starting_recipe("conv", seeded(NETWORKS["conv"][0])).amount == Sparsity(0.8)


def test_a_recipe_to_start_from_has_five_rounds_of_two_epochs() -> None:
    recipe = starting_recipe("mlp", seeded(NETWORKS["mlp"][0]))
    assert (recipe.schedule, recipe.tuning.epochs) == (Polynomial(5), 2)


def test_it_is_laid_out_for_a_person_who_reads_it() -> None:
    model = seeded(NETWORKS["mlp"][0])
    text = commented(starting_recipe("mlp", model), model)
    first, second = text.splitlines()[:2]
    assert first == "{" and second.startswith('  "//": "Carry out: python -m pruning run THIS_FILE --out DIR. ')
    assert "Σ" in text and "\\u" not in text  # letters as they are, and not as numbers


def test_the_comments_tell_every_kind_and_every_field() -> None:
    model = seeded(NETWORKS["mlp"][0])
    reported = json.loads(commented(starting_recipe("mlp", model), model))
    for field, choice in CHOICES.items():
        assert {f"kind {kind}" for kind in choice.rows} == reported[f"// {field}"].keys() - {"about"}
        for kind, made in choice.rows.items():
            line = reported[f"// {field}"][f"kind {kind}"]
            assert all(f" {f.name}: " in line for f in fields(made)) and line.startswith(first_paragraph(made))
    assert reported["// tuning"].keys() - {"about"} == vars(Tuning()).keys()
    assert reported["// tuning"]["about"] == first_paragraph(Tuning)
    assert " p: 1 or 2, by default 1. 1: sum of |w|" in reported["// criterion"]["kind magnitude"]
    sparsity = reported["// amount"]["kind sparsity"]
    assert " share: a number from 0 to 1, by default 0.5. 0 keeps everything, 1 drops everything" in sparsity
    per_layer = reported["// amount"]["kind per_layer"]
    assert " shares: an object with a number from 0 to 1 for each layer, by default {}. " in per_layer
    assert (
        " rest: an object of kind sparsity or threshold or relative_threshold or zeros or budget, "
        'by default {"kind": "sparsity", "share": 0.0}. '
    ) in per_layer
    assert " of: a whole number from 2 to 64, by default 4. " in reported["// scope"]["kind blocks"]
    images = reported["// tuning"]["images_per_epoch"]
    assert images.startswith("images_per_epoch: a whole number from 2 to 1000000000 or null, by default null. ")
    assert "0, 2, 4" in reported["// keep_whole"]


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


KINDS = [made for choice in CHOICES.values() for made in choice.rows.values()]


@pytest.mark.parametrize("made", KINDS, ids=lambda made: made.__name__)
def test_what_is_said_ends_where_a_sentence_ends(made: type) -> None:
    for reported in (first_paragraph(made), *field_docs(made).values()):
        assert reported.endswith((".", ".)")) and not reported.endswith(("et al.", "e.g.")), reported
        assert all(reported.count(opening) == reported.count(closing) for opening, closing in ("()", "[]")), reported


def test_every_field_that_a_person_can_set_is_said() -> None:
    for each in [*KINDS, Tuning]:
        assert field_docs(each).keys() == {f.name for f in fields(each)}, each
    assert len(CRITERIA) > 1
