"""What every criterion owes, over whatever stands in the tables: a new row is covered without a new file."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from pruning.criteria import ANY, CRITERIA, Criterion, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.errors import RecipeError, WorkloadError
from pruning.granularities import GRANULARITIES, Granularity, Weights
from pruning.model.preparation import open_model
from pruning.model.units import Keep, UnitGroup
from pruning.pipeline.eligibility import scorable_groups
from pruning.recipe.catalog import kind_of
from pruning.recipe.compatibility import fits
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.selection.amounts import Sparsity
from pruning.selection.scopes import WithinLayer
from pruning.testing import DescriptionContract, ScoringContract
from pruning.testing.untouched import untouched
from pruning.training.schedules import Linear, OneShot
from pruning.training.tuning import Tuning
from pruning.workload import Workload
from tests.every_granularity import NETWORK_OF, tiny_for
from tests.networks import CPU, NETWORKS, carried_out, tiny

PAIRS = [(c, g) for c in CRITERIA for g in GRANULARITIES]
FITTING = [(c, g) for c, g in PAIRS if fits(CRITERIA[c], g)]
QUICKLY = {"movement": {"steps": 3}, "attribution": {"steps": 2}, "optimal_brain_damage": {"probes": 2}}


def made(criterion: str) -> Criterion:
    """The criterion, with less to do where its default takes long."""
    return CRITERIA[criterion](**QUICKLY.get(criterion, {}))


def groups_of(criterion: str, granularity: str, work: Workload) -> tuple[nn.Module, list[UnitGroup]]:
    model = open_model(work, CPU)
    return model, scorable_groups(made(criterion), GRANULARITIES[granularity](), model, work.example)[0]


# numbers of words cannot be an input of ones
REFUSES = [("synflow", granularity) for granularity in ("embedding_rows", "embedding_dimensions")]


def networks_of(criterion: str) -> list[tuple[str, str]]:
    """The criterion with one granularity on each network of `NETWORK_OF` that has units which it can score."""
    fitting = [g for g in GRANULARITIES if (criterion, g) in FITTING and (criterion, g) not in REFUSES]
    first = {NETWORK_OF[granularity]: granularity for granularity in reversed(fitting)}
    return [(criterion, granularity) for granularity in first.values()]


ONE_FOR_EACH_NETWORK = [case for criterion in CRITERIA for case in networks_of(criterion)]


class TestWhatEveryCriterionSays(DescriptionContract):
    @pytest.fixture(autouse=True, params=CRITERIA)
    def case(self, request: pytest.FixtureRequest) -> None:
        self.criterion = made(request.param)


class TestEveryCriterion(ScoringContract):
    @pytest.fixture(autouse=True, params=ONE_FOR_EACH_NETWORK, ids="-".join)
    def case(self, request: pytest.FixtureRequest) -> None:
        criterion, granularity = request.param
        self.criterion, self.granularity = made(criterion), GRANULARITIES[granularity]()
        self.workload = tiny_for(granularity)

    def _opened(self) -> tuple[nn.Module, list[UnitGroup]]:
        """Found once for each case: that takes longer than what is tested of it."""
        model, groups = opened_once(self.criterion, self.granularity)
        return copy.deepcopy(model), groups


@cache
def opened_once(criterion: Criterion, granularity: Granularity) -> tuple[nn.Module, list[UnitGroup]]:
    contract = ScoringContract()
    contract.criterion, contract.granularity = criterion, granularity
    contract.workload = tiny_for(kind_of(granularity))
    return contract._opened()


def check_scores(criterion: str, granularity: str, work: Workload) -> None:
    model, groups = groups_of(criterion, granularity, work)
    assert groups
    next(model.train().children()).eval()  # a part that was frozen in its own mode stays in it
    with untouched(model):
        scores = unit_scores(made(criterion), model, groups, Calibration(work, CPU, 0))
    assert {name: tuple(values.shape) for name, values in scores.items()} == {g.name: (g.units,) for g in groups}
    assert all(bool(values.isfinite().all()) for values in scores.values())


@pytest.mark.parametrize(
    "criterion, granularity", [case for case in FITTING if case not in [*ONE_FOR_EACH_NETWORK, *REFUSES]]
)
def test_units_of_all_other_kinds_that_a_criterion_fits_are_scored(criterion, granularity):
    check_scores(criterion, granularity, tiny_for(granularity))


NOTHING_TO_SCORE = [("batchnorm_scale", "mlp"), ("batchnorm_scale", "conv")]
"""Networks without a BatchNorm."""
SHAPES = [(c, n) for c in CRITERIA for n in NETWORKS if n != "conv_bn" and (c, n) not in NOTHING_TO_SCORE]
"""Every criterion on networks of every shape; `conv_bn` is among those above."""


@pytest.mark.parametrize("criterion, network", SHAPES)
def test_channels_of_networks_of_every_shape_are_scored(criterion, network):
    check_scores(criterion, "channels", tiny(network, count=64))


@pytest.mark.parametrize("criterion, network", NOTHING_TO_SCORE)
def test_a_network_without_units_that_a_criterion_can_score_has_none(criterion, network):
    assert groups_of(criterion, "channels", tiny(network, count=64))[1] == []


@pytest.mark.parametrize("criterion, granularity", REFUSES)
def test_a_network_that_a_criterion_cannot_score_is_refused_in_a_sentence_and_left_as_it_was(criterion, granularity):
    work = tiny_for(granularity)
    model, groups = groups_of(criterion, granularity, work)
    with untouched(model), pytest.raises(RecipeError) as refused:
        unit_scores(made(criterion), model, groups, Calibration(work, CPU, 0))
    assert len(str(refused.value)) > 30 and "\n" not in str(refused.value)


WITHOUT_DATA = [c for c in CRITERIA if "no pass over data" in CRITERIA[c].cost]

DIFFER_IN_ROUNDS = {
    "distribution": "μ and σ are those of the live weights and move when some are pruned",
    "geometric_median": "a filter that has been pruned is nobody's neighbour: the sums of distances lose a term",
}
"""Criteria whose formula itself looks at which other units of the layer are live."""


def in_rounds_and_at_once(criterion: str, granularity: str, network: str, only: str = "") -> tuple[Keep, Keep]:
    """What stays of `only` this layer, or of all, after 3 rounds without tuning and after one cut."""
    recipe = Recipe(network, CRITERIA[criterion](), GRANULARITIES[granularity](), WithinLayer(), Sparsity(0.6))
    work = tiny(network, count=64)
    groups = groups_of(criterion, granularity, work)[1]
    whole = frozenset(member for group in groups for member in group.members if only and only not in group.members)
    recipe = replace(recipe, keep_whole=whole, tuning=Tuning(epochs=0))
    rounds, once = (carried_out(work, replace(recipe, schedule=how))[1].keep for how in (Linear(3), OneShot()))
    assert all(not stays.all() for stays in once.values())
    return rounds, once


ONE_LAYER = [("weights", "4"), ("kernels", "4"), ("channels", "0"), ("channels", "4")]


@pytest.mark.parametrize(
    "criterion, granularity, only",
    [(c, g, only) for c in WITHOUT_DATA for g, only in ONE_LAYER if c not in DIFFER_IN_ROUNDS and fits(CRITERIA[c], g)],
)
def test_units_that_have_been_pruned_do_not_change_the_order_of_the_live_ones_of_their_layer(
    criterion, granularity, only
):
    rounds, once = in_rounds_and_at_once(criterion, granularity, "conv_bn", only)
    assert rounds.keys() == once.keys() and all(torch.equal(rounds[name], once[name]) for name in once)


NOT_ALL_LAYERS = {
    "synflow": "what flows through a weight depends on which weights of the layers before and behind it are live",
    "batchnorm_scale": "it does not score weights",
}


@pytest.mark.parametrize("criterion", [c for c in WITHOUT_DATA if c not in (*DIFFER_IN_ROUNDS, *NOT_ALL_LAYERS)])
def test_weights_that_have_been_pruned_do_not_change_the_order_of_live_ones_of_any_layer(criterion):
    rounds, once = in_rounds_and_at_once(criterion, "weights", "conv_bn")
    assert len(once) == 3 and all(torch.equal(rounds[name], once[name]) for name in once)


def test_what_differs_in_rounds_is_a_criterion_without_data():
    assert DIFFER_IN_ROUNDS.keys() < set(WITHOUT_DATA)
    assert len(WITHOUT_DATA) == 10


@pytest.mark.parametrize("criterion, granularity", [pair for pair in PAIRS if pair not in FITTING])
def test_a_criterion_that_does_not_score_such_units_says_which_it_does(criterion, granularity):
    with pytest.raises(RecipeError, match=f"{criterion} scores .*, not .*: choose granularity"):
        Recipe("conv", made(criterion), GRANULARITIES[granularity]())


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_of_the_table_becomes_json_and_back(criterion):
    row = CRITERIA[criterion]
    assert from_json(to_json(recipe_of(row))).criterion == row()


def recipe_of(row: type[Criterion]) -> Recipe:
    fitting = next(g for g in GRANULARITIES if fits(row, g))
    return Recipe("conv", row(), GRANULARITIES[fitting]())


class Broken:
    """Raises, or gives a score that is NaN."""

    formula = source = cost = ""
    fits = ("weights",)
    layers = ANY

    def __init__(self, raises: bool) -> None:
        self.raises = raises

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        if self.raises:
            raise ZeroDivisionError
        return {group.name: torch.full((group.units,), torch.nan) for group in groups}


def test_scores_that_are_not_finite_name_the_layer():
    work = tiny("mlp")
    model = open_model(work, CPU)
    groups = Weights().sorted_out(model, work.example)[0][1:]
    with pytest.raises(WorkloadError, match=r"2: broken gave scores that are NaN or infinite"):
        unit_scores(Broken(raises=False), model, groups, Calibration(work, CPU))


def test_the_training_flag_is_restored_also_after_an_error():
    work = tiny("mlp")
    model = open_model(work, CPU).train()
    with pytest.raises(ZeroDivisionError):
        unit_scores(Broken(raises=True), model, [], Calibration(work, CPU))
    assert model.training
