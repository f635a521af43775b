"""Every repair with every granularity and every criterion: it runs, and what is pruned stays so; or it says why not."""

import pytest

from pruning.criteria import CRITERIA
from pruning.errors import RecipeError
from pruning.events import Repaired, Warned
from pruning.granularities import GRANULARITIES
from pruning.model.units import masks_of
from pruning.recipe.compatibility import fits
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.repair import REPAIRS, Block, NormsAndBiases
from pruning.selection.amounts import Sparsity
from pruning.training.tuning import Tuning
from tests.every_granularity import tiny_for
from tests.networks import carried_out

KINDS = [kind for kind in REPAIRS if kind != "none"]
FEW = {kind: REPAIRS[kind](samples=32) for kind in KINDS}
FEW |= {"block": Block(samples=32, steps=5), "norms_and_biases": NormsAndBiases(samples=32, steps=5)}
FITTING = [(c, g) for c in CRITERIA for g in GRANULARITIES if fits(CRITERIA[c], g)]


def repaired(criterion: str, granularity: str, kind: str) -> None:
    recipe = Recipe(
        granularity, CRITERIA[criterion](), GRANULARITIES[granularity](), amount=Sparsity(0.4), tuning=Tuning(epochs=0),
        repair=FEW[kind],
    )  # fmt: skip
    assert from_json(to_json(recipe)) == recipe
    events, result = carried_out(tiny_for(granularity), recipe)
    (done,) = [event for event in events if isinstance(event, Repaired) and event.round == 0][-1:]
    said = [event.sentence for event in events if isinstance(event, Warned)]
    assert done.helped or any(f"the repair {kind} brought the network no nearer" in sentence for sentence in said)
    if not recipe.granularity.removable:
        masks = masks_of(
            GRANULARITIES[granularity]().sorted_out(result.model, tiny_for(granularity).example)[0],
            result.keep,
            result.model,
        )
        assert any(not stays.all() for stays in masks.values())
        for name, stays in masks.items():
            assert not result.model.get_parameter(name)[~stays].any(), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_every_repair_goes_with_every_granularity(granularity, kind):
    repaired("magnitude", granularity, kind)


@pytest.mark.parametrize("criterion, granularity", FITTING)
def test_every_criterion_and_granularity_goes_with_a_repair(criterion, granularity):
    """Each pair with one of the repairs, in turn: a repair sees masks and does not know who chose them."""
    if criterion == "synflow" and granularity.startswith("embedding_"):
        with pytest.raises(RecipeError, match="takes whole numbers; use snip"):
            repaired(criterion, granularity, "least_squares")
        return
    repaired(criterion, granularity, KINDS[FITTING.index((criterion, granularity)) % len(KINDS)])
