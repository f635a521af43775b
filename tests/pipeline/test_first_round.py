"""What a slider shows is what the first round of a run does: for every amount and scope, whatever their fields."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning.errors import RecipeError
from pruning.events import Masked
from pruning.granularities import Channels
from pruning.interactive.session import PreviewSession
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import (
    AMOUNTS,
    Amount,
    Automatic,
    Budget,
    PerLayer,
    RelativeThreshold,
    Sparsity,
    Threshold,
    Zeros,
)
from pruning.selection.scopes import SCOPES, Global, WithinBlocks, WithinLayer, WithinRow
from pruning.training.tuning import Tuning
from tests.conftest import PROFILE
from tests.networks import CPU, carried_out, tiny

LAB = PreviewSession({"mlp": lambda: tiny("mlp", count=20)}, CPU)
LAYERS = ("0", "2", "4")
RUNS = settings(PROFILE, max_examples=12)  # of each pair: each is a whole run

share = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
rests = {
    "sparsity": st.builds(Sparsity, share),
    "threshold": st.builds(Threshold, st.floats(-0.25, 1)),
    "relative_threshold": st.builds(RelativeThreshold, share),
    "zeros": st.just(Zeros()),
    "budget": st.builds(Budget, st.just("parameters"), share),
}
amounts = rests | {
    "per_layer": st.builds(PerLayer, st.dictionaries(st.sampled_from(LAYERS), share), st.one_of(*rests.values()))
}
scopes = {
    "global": st.builds(Global, st.sampled_from(["none", "mean", "l2", "max"])),
    "layer": st.just(WithinLayer()),
    "row": st.just(WithinRow()),
    "blocks": st.builds(WithinBlocks, st.integers(2, 7)),
}


def the_first_round_is_the_preview(recipe: Recipe) -> None:
    try:
        decision = LAB.decision(recipe)
    except RecipeError as reported:  # a budget that cannot be met: the run says so in the same words
        with pytest.raises(RecipeError) as again:
            carried_out(tiny("mlp", count=20), recipe)
        assert str(again.value) == str(reported)
        return
    where, keep = decision.counts, decision.keep
    events, result = carried_out(tiny("mlp", count=20), recipe)
    cut = next(event for event in events if isinstance(event, Masked))
    assert (cut.round, cut.progress) == (0, 1.0)
    assert (cut.asked, cut.pruned, cut.units) == (where.asked, where.pruned, where.units)
    assert cut.kept == {row.name: row.kept for row in where.shares}
    assert result.keep.keys() == keep.keys()
    assert all(torch.equal(result.keep[name], keep[name]) for name in keep)


def test_every_amount_and_every_scope_of_the_tables_is_drawn():
    assert amounts.keys() == AMOUNTS.keys() - {"automatic"} and scopes.keys() == SCOPES.keys()


def test_an_amount_that_a_run_searches_for_has_no_preview():
    with pytest.raises(RecipeError, match="amount automatic is not known before a run has searched for it"):
        LAB.decision(Recipe("mlp", amount=Automatic()))


@pytest.mark.parametrize("scope", scopes)
@pytest.mark.parametrize("amount", amounts)
def test_single_weights(amount, scope):
    @RUNS
    @given(amounts[amount], scopes[scope])
    def holds(amount: Amount, scope) -> None:
        the_first_round_is_the_preview(Recipe("mlp", scope=scope, amount=amount, tuning=Tuning(epochs=0)))

    holds()


@pytest.mark.parametrize("scope", ["global", "layer"])  # channels lie in no rows
@pytest.mark.parametrize("amount", amounts)
def test_channels_which_are_removed(amount, scope):
    @RUNS
    @given(amounts[amount], scopes[scope])
    def holds(amount: Amount, scope) -> None:
        if isinstance(amount, PerLayer):  # the output layer's channels are never pruned
            amount = PerLayer({name: share for name, share in amount.shares.items() if name != "4"}, amount.rest)
        recipe = Recipe("mlp", granularity=Channels(), scope=scope, amount=amount, tuning=Tuning(epochs=0))
        the_first_round_is_the_preview(recipe)

    holds()
