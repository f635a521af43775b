"""Any four choices make a recipe, or the sentence that refuses them says what to choose, and choosing that works."""

import itertools
import re
from typing import Any

import pytest
import torch

from pruning.criteria import ANY, CRITERIA, Activation, BatchnormScale, Magnitude, Wanda
from pruning.errors import RecipeError
from pruning.granularities import GRANULARITIES, Channels, Weights
from pruning.interactive.queries import look
from pruning.interactive.session import PreviewSession
from pruning.model.layer_table import owning_layer
from pruning.model.layer_types import is_a
from pruning.model.preparation import open_model
from pruning.pipeline.eligibility import chosen_groups, scorable_groups, unscored
from pruning.recipe.compatibility import fits, incompatibility
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import AMOUNTS, Amount, Automatic, Budget, PerLayer, Sparsity
from pruning.selection.scopes import SCOPES, Global, WithinLayer, WithinRow
from pruning.training.tuning import Tuning
from tests.every_granularity import NETWORK_OF, tiny_for
from tests.networks import CPU, carried_out, tiny

AMOUNTS_TO_TRY: dict[str, Amount] = {
    **{kind: made() for kind, made in AMOUNTS.items()},
    "bytes": Budget("bytes"),
    "macs": Budget("macs"),
    "rest": PerLayer({}, Budget("macs")),
    "searched": Automatic("latency"),
}
Choice = tuple[str, str, str, str]
"""Kinds of criterion, granularity, scope and amount (one of those to try)."""

ALL: list[Choice] = list(itertools.product(CRITERIA, GRANULARITIES, SCOPES, AMOUNTS_TO_TRY))


def parts(choice: Choice) -> tuple[Any, Any, Any, Any]:
    criterion, granularity, scope, amount = choice
    return CRITERIA[criterion](), GRANULARITIES[granularity](), SCOPES[scope](), AMOUNTS_TO_TRY[amount]


def sentence(choice: Choice) -> str:
    """Why a recipe cannot be made of these; empty if it can."""
    try:
        Recipe("m", *parts(choice))
    except RecipeError as error:
        return str(error)
    return ""


SENTENCES = {choice: sentence(choice) for choice in ALL}


def advised(choice: Choice, reported: str) -> list[Choice]:
    """The choice with each of the things that the sentence says one may choose instead."""
    criterion, granularity, scope, amount = choice
    advice = reported.partition(": choose ")[2]
    found: list[Choice] = []
    for field, names in re.findall(r"(granularity|scope) ((?:\w+)(?: or \w+)*)", advice):
        for name in names.split(" or "):
            found.append(
                (criterion, name, scope, amount) if field == "granularity" else (criterion, granularity, name, amount)
            )
    if "a budget of parameters" in advice:
        found.append((criterion, granularity, scope, "budget"))
    if "the cost parameters" in advice:
        found.append((criterion, granularity, scope, "automatic"))
    return found


def reason(reported: str) -> str:
    """Which of the three rules was broken; empty if none."""
    zeroed = r"a budget of |passes take less time "
    starts = {"criterion": r"\w+ scores ", "scope": r"scope \w+ lets ", "amount": zeroed}
    return next((rule for rule, start in starts.items() if re.match(start, reported)), "")


def test_most_choices_go_together_and_some_do_not():
    apart = [choice for choice, reported in SENTENCES.items() if reported]
    assert len(ALL) == len(CRITERIA) * len(GRANULARITIES) * len(SCOPES) * len(AMOUNTS_TO_TRY)
    assert 0 < len(apart) < len(ALL)


def test_choices_are_refused_for_one_of_three_reasons_and_only_for_these():
    for (criterion, granularity, scope, amount), reported in SENTENCES.items():
        unscored_units = not fits(CRITERIA[criterion], granularity)
        no_rows = scope in ("row", "blocks") and not GRANULARITIES[granularity].rows
        only_zeroed = amount in ("bytes", "macs", "rest", "searched") and not GRANULARITIES[granularity].removable
        assert bool(reported) == (unscored_units or no_rows or only_zeroed)
        assert reported == incompatibility(*parts((criterion, granularity, scope, amount)))


def test_every_refusal_is_a_sentence_that_names_both_choices_and_the_way_out():
    for choice, reported in SENTENCES.items():
        if reported:
            criterion, granularity, scope, _ = choice
            assert GRANULARITIES[granularity].unit in reported and "\n" not in reported and len(reported) < 400
            starts = (f"{criterion} scores", f"scope {scope} lets", "a budget of ", "passes take less time ")
            assert reported.startswith(starts) and reason(reported)
            assert advised(choice, reported), reported


def test_what_a_refusal_says_to_choose_exists_and_removes_what_was_in_the_way():
    for choice, reported in SENTENCES.items():
        for other in advised(choice, reported) if reported else []:
            assert other in SENTENCES, f"{reported} names what there is not"
            assert reason(SENTENCES[other]) != reason(reported)


def test_following_the_advice_ends_with_a_recipe():
    for choice in ALL:
        seen, edge = {choice}, [choice]
        while edge and all(SENTENCES[one] for one in edge):
            edge = [other for one in edge for other in advised(one, SENTENCES[one]) if other not in seen]
            seen |= set(edge)
        assert edge, f"{choice}: no advice leads to a recipe"


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_scores_units_of_some_kind(criterion):
    assert any(fits(CRITERIA[criterion], granularity) for granularity in GRANULARITIES)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("criterion", CRITERIA)
def test_what_cannot_be_scored_is_said_layer_by_layer_and_the_rest_is_scored(criterion, granularity):
    if not fits(CRITERIA[criterion], granularity):
        return
    work = tiny_for(granularity)
    model, made = open_model(work, CPU), CRITERIA[criterion]()
    everything = GRANULARITIES[granularity]().sorted_out(model, work.example)[0]
    groups, reasons = scorable_groups(made, GRANULARITIES[granularity](), model, work.example)
    names, left_out = {group.name for group in groups}, unscored(made, model, everything)
    assert names | left_out.keys() == {group.name for group in everything} and not names & left_out.keys()
    for group in everything:
        known = made.layers == ANY or all(is_a(owning_layer(model, param), made.layers) for param in group.params)
        assert known or group.name in left_out
        if group.name in left_out:
            assert set(group.members) <= reasons.keys()
            assert "choose" in left_out[group.name] and len(left_out[group.name]) > 20


def test_every_kind_of_unit_has_a_network():
    assert NETWORK_OF.keys() == GRANULARITIES.keys()


def test_a_layer_that_the_criterion_does_not_know_stays_whole_with_a_reason():
    recipe = Recipe("embedding_rows", Wanda(), Weights(), WithinLayer(), Sparsity(0.5), tuning=Tuning(epochs=0))
    work = tiny_for("embedding_rows")
    _, result = carried_out(work, recipe)
    assert result.keep.keys() == {"hidden", "head"}
    assert torch.equal(result.model.words.weight, work.build().words.weight)
    assert int((result.model.hidden.weight == 0).sum()) == 15
    rows = {
        row.name: row for row in look(PreviewSession({"embedding_rows": lambda: work}, CPU), recipe, "score").layers
    }
    assert rows["words"].why_not == (
        "wanda does not score Embedding (it scores Linear, Conv1d, Conv2d, Conv3d): choose another criterion"
    )
    assert rows["words"].pruned_units == 0 and rows["hidden"].why_not == rows["head"].why_not == ""


def test_a_layer_that_the_criterion_leaves_out_for_its_own_reason_stays_whole_too():
    recipe = Recipe("mlp", BatchnormScale(), Channels(), WithinLayer(), Sparsity(0.5), tuning=Tuning(epochs=0))
    with pytest.raises(RecipeError, match=r"no norm with a learnt scale follows its units.*choose magnitude"):
        chosen_groups(tiny("mlp"), recipe, tiny("mlp").build())
    _, result = carried_out(tiny("conv_bn"), recipe)
    assert result.keep.keys() == {"0", "4"}


def test_a_criterion_or_granularity_of_ones_own_is_called_by_its_class():
    class Mine(Magnitude):
        fits = ("channels",)

    reported = incompatibility(Mine(), Weights(), WithinLayer(), Sparsity())
    assert reported == "mine scores channels, not single weights: choose granularity channels"
    assert incompatibility(Activation(), Channels(), WithinLayer(), Budget("macs")) == ""


@pytest.mark.parametrize(
    "known, said",
    [
        (("kernels",), "kernels, not single weights: choose granularity kernels"),
        (("kernels", "channels"), "kernels and channels, not single weights: choose granularity kernels or channels"),
        (
            ("kernels", "blocks", "channels"),
            "larger units, not single weights: choose granularity kernels, blocks or channels",
        ),
    ],
)
def test_a_criterion_names_one_two_or_more_granularities(known, said):
    class Mine(Magnitude):
        fits = known

    assert incompatibility(Mine(), Weights(), WithinLayer(), Sparsity()) == f"mine scores {said}"


def test_a_scope_and_a_budget_name_every_granularity_that_would_do():
    in_rows = " or ".join(name for name, made in GRANULARITIES.items() if made.rows)
    assert incompatibility(Magnitude(), Channels(), WithinRow(), Sparsity()) == (
        f"scope row lets units of one row compete, and channels lie in no rows: choose granularity {in_rows}, or scope "
        "global or layer"
    )
    removed = " or ".join(name for name, made in GRANULARITIES.items() if made.removable)
    assert incompatibility(Magnitude(), Weights(), Global(), Budget("macs")) == (
        "a budget of MACs is met by removing units, and single weights are only set to zero: choose granularity "
        f"{removed}, or a budget of parameters"
    )
