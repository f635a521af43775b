"""The map after repair, against each cut made, repaired and evaluated by itself."""

import pytest
import torch
from torch import nn

from pruning.evaluation.accuracy import Evaluator
from pruning.evaluation.estimate import highest_drop
from pruning.granularities import Channels, Weights
from pruning.layer_sensitivity import analysis as analysis_module
from pruning.layer_sensitivity.analysis import map_sensitivity, repaired_analysis_of
from pruning.layer_sensitivity.repaired import RepairedSensitivity
from pruning.layer_sensitivity.result import Sensitivity, largest_cuts
from pruning.model.preparation import open_model
from pruning.pipeline.eligibility import chosen_groups
from pruning.pipeline.one_shot import rank_units
from pruning.recipe.recipe import Recipe
from pruning.repair import BatchNorm, LeastSquares
from pruning.repair.mended import Mender
from pruning.repair.repair import Repair
from pruning.selection.amounts import PerLayer, Sparsity
from pruning.selection.scopes import WithinLayer
from pruning.workload import Workload
from tests.networks import CPU, VECTOR, seeded, taught, workload

LEVELS = (0.1, 0.3, 0.6, 0.9)


def wide() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 3))


def work_of(count: int = 700) -> Workload:
    return workload(lambda: seeded(wide), VECTOR, "wide", count=count)


def exact(work: Workload, recipe: Recipe) -> Sensitivity:
    return repaired_analysis_of(work, recipe, LEVELS, CPU).advance(600.0, 0.0)


@pytest.mark.parametrize(
    "repair", [LeastSquares(samples=64), BatchNorm(samples=64)], ids=["least_squares", "batchnorm"]
)
@pytest.mark.parametrize(
    "network, granularity", [("conv_bn", Channels()), ("mlp", Weights()), ("residual", Channels())]
)
def test_a_cell_is_what_a_run_measures_of_that_cut_repaired(network: str, granularity, repair: Repair):
    from pruning.criteria import unit_scores
    from pruning.criteria.calibration import Calibration
    from pruning.model.costs import cost_model

    work = taught(network, count=300)
    recipe = Recipe(network, granularity=granularity, repair=repair)
    sensed = exact(work, recipe)
    dense = open_model(work, CPU)
    evaluator = Evaluator(work.validation, work.task, CPU)
    cost = cost_model(dense, work.example)
    assert sensed.done and len(sensed.rows) > 1 and sensed.repair != "none"
    for row in sensed.rows:
        for cell in row.cells:
            alone = Recipe(
                network,
                granularity=granularity,
                scope=WithinLayer(),
                amount=PerLayer({row.name: cell.level}, Sparsity(0.0)),
            )
            groups = chosen_groups(work, alone, dense)
            scores = unit_scores(alone.criterion, dense, groups, Calibration(work, CPU, 0))
            decision = rank_units(alone, groups, scores, cost).decide(alone.amount)
            assert decision.counts.pruned == cell.pruned
            model = decision.masked_copy(dense)
            if cell.pruned:
                Mender(repair, dense, work, CPU, 0).mend(model, decision.masks)
            assert cell.estimate.measured and cell.estimate.score == evaluator.score(model), (row.name, cell.level)


def test_work_goes_on_where_it_was_left_and_ends_the_same():
    work, recipe = work_of(), Recipe("wide", repair=LeastSquares(samples=64))
    whole = repaired_analysis_of(work, recipe, LEVELS, CPU).advance(600.0, 0.05)
    parts = repaired_analysis_of(work, recipe, LEVELS, CPU)
    calls, seen = 1, parts.advance(0.0, 0.05)
    while not seen.done:
        assert seen.planned >= seen.spent
        calls, seen = calls + 1, parts.advance(0.0, 0.05)
    assert calls > 10 and seen.rows == whole.rows and seen.spent == whole.spent
    widths = [cell.estimate.half_width for row in seen.rows for cell in row.cells]
    assert max(widths) <= 0.05 and any(widths)


def test_a_narrower_map_leaves_what_is_narrow_enough_by_then():
    analysis = repaired_analysis_of(work_of(), Recipe("wide", repair=LeastSquares(samples=64)), LEVELS, CPU)
    coarse = analysis.advance(600.0, 0.08)
    fine = analysis.advance(600.0, 0.04)
    for before, after in zip(coarse.rows, fine.rows, strict=True):
        for one, other in zip(before.cells, after.cells, strict=True):
            assert other.estimate.half_width <= 0.04
            if one.estimate.half_width <= 0.04:
                assert one == other


def test_the_largest_cut_within_a_limit_is_decided():
    analysis = repaired_analysis_of(work_of(2000), Recipe("wide", repair=LeastSquares(samples=64)), LEVELS, CPU)
    analysis.advance(600.0, 0.2)
    sensed = analysis.advance(600.0, 0.2, max_drop=0.02)
    exact_ = analysis.advance(600.0, 0.0)
    assert sensed.done and largest_cuts(sensed, 0.02) == largest_cuts(exact_, 0.02)
    for row in sensed.rows:
        for cell in row.cells:
            if not highest_drop(cell.estimate, sensed.metric) <= 0.02:
                assert cell.estimate.measured or -cell.estimate.change - cell.estimate.half_width > 0.02
                break


def test_levels_at_which_as_many_units_go_are_repaired_once(monkeypatch: pytest.MonkeyPatch):
    repaired: list[int] = []
    mend = Mender.mend
    monkeypatch.setattr(Mender, "mend", lambda self, model, masks: repaired.append(1) or mend(self, model, masks))
    work = taught("mlp", count=120)
    analysis = repaired_analysis_of(
        work, Recipe("mlp", granularity=Channels(), repair=LeastSquares(samples=64)), (0.01, 0.5, 0.51), CPU
    )
    sensed = analysis.advance(600.0, 0.0)
    cuts = {(row.name, cell.pruned) for row in sensed.rows for cell in row.cells if cell.pruned}
    assert len(repaired) == len(cuts)
    for row in sensed.rows:
        assert [cell.level for cell in row.cells] == [0.01, 0.5, 0.51]
        assert all(cell.estimate.change == 0 and cell.estimate.measured for cell in row.cells if not cell.pruned)


def test_what_a_layer_costs_after_repair_is_less():
    # only the repair differs: the same cuts, and all samples
    work = work_of(1000)
    from pruning.layer_sensitivity.analysis import analysis_of

    before = analysis_of(work, Recipe("wide"), LEVELS, CPU).advance(600.0, 0.0)
    after = exact(work, Recipe("wide", repair=LeastSquares()))
    lost = [[sum(abs(cell.estimate.change) for row in sensed.rows for cell in row.cells)] for sensed in (before, after)]
    assert [row.name for row in before.rows] == [row.name for row in after.rows] and lost[1] < lost[0]
    assert (before.repair, after.repair) == ("none", "least_squares")


def test_a_recipe_with_a_repair_has_the_map_after_it(monkeypatch: pytest.MonkeyPatch):
    made: list[type] = []
    for name in ("analysis_of", "repaired_analysis_of"):
        make = getattr(analysis_module, name)
        monkeypatch.setattr(analysis_module, name, lambda *a, make=make: made.append(found := make(*a)) or found)
    for repair in (None, LeastSquares(samples=64)):
        recipe = Recipe("mlp") if repair is None else Recipe("mlp", repair=repair)
        for _ in map_sensitivity(taught("mlp"), recipe, (0.5,), 0.1, CPU):
            pass
    assert [isinstance(each, RepairedSensitivity) for each in made] == [False, True]


def test_the_dense_network_stays_as_it_was():
    work = work_of(120)
    analysis = repaired_analysis_of(work, Recipe("wide", repair=LeastSquares(samples=64)), LEVELS, CPU)
    before = {name: tensor.clone() for name, tensor in analysis.model.state_dict().items()}
    analysis.advance(600.0, 0.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in analysis.model.state_dict().items())
    assert analysis.most_bytes > 2 * sum(tensor.numel() * 4 for tensor in before.values())
