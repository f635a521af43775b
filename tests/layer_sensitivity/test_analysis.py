"""The map equals the loop that everybody writes, to the sample, on networks of every kind; it may be interrupted."""

import pytest
import torch
from torch import nn

from pruning.criteria import Magnitude, Random, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.evaluation.accuracy import Evaluator
from pruning.evaluation.regression_estimator import dense_reference
from pruning.evaluation.sequential_bounds import FIRST_LOOK, looks
from pruning.granularities import Channels, Weights
from pruning.layer_sensitivity.activation_cache import batches
from pruning.layer_sensitivity.analysis import SensitivityAnalysis, map_sensitivity
from pruning.layer_sensitivity.cell_progress import Computation
from pruning.layer_sensitivity.result import Sensitivity, largest_cuts
from pruning.model.surgery import masked_copy
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Sparsity
from pruning.selection.ranking import rank, select
from pruning.selection.scopes import WithinLayer
from pruning.workload import Workload
from tests.architectures import IMAGE, LSTMClassifier, ViT
from tests.every_granularity import NETWORK_OF, tiny_for
from tests.networks import CPU, NETWORKS, Tied, seeded, taught, tiny, workload

LEVELS = (0.2, 0.5, 0.8, 1.0)


def naive(work: Workload, recipe: Recipe, levels: tuple[float, ...]) -> dict[tuple[str, float], tuple[int, float]]:
    """Copy, cut one layer, evaluate all samples; for every layer and level."""
    model = work.build()
    groups, _ = recipe.granularity.sorted_out(model, work.example)
    scores = unit_scores(recipe.criterion, model, groups, Calibration(work, CPU, recipe.seed))
    found = {}
    for group in groups:
        for level in levels:
            keep = select(rank([group], scores, WithinLayer(), Sparsity(level)), Sparsity(level))
            evaluated, _ = Evaluator(work.validation, work.task, CPU).evaluate_all(masked_copy(model, [group], keep))
            found[group.name, level] = (int((~keep[group.name]).sum()), float(evaluated.double().mean()))
    return found


def ended(work: Workload, recipe: Recipe, levels: tuple[float, ...], half_width: float) -> Sensitivity:
    going_on = map_sensitivity(work, recipe, levels, half_width, CPU)
    while True:
        try:
            next(going_on)
        except StopIteration as end:
            return end.value


def cells(sensed: Sensitivity) -> dict[tuple[str, float], tuple[int, float]]:
    return {(row.name, cell.level): (cell.pruned, cell.estimate.score) for row in sensed.rows for cell in row.cells}


def sensing(work: Workload, levels: tuple[float, ...] = LEVELS) -> SensitivityAnalysis:
    model = work.build()
    groups, left_out = Weights().sorted_out(model, work.example)
    scores = unit_scores(Magnitude(), model, groups, Calibration(work, CPU, 0))
    known = dense_reference(model, Evaluator(work.validation, work.task, CPU))
    return SensitivityAnalysis(
        model, groups, scores, levels, known, Evaluator(work.validation, work.task, CPU), left_out
    )


@pytest.mark.parametrize("granularity", [Weights(), Channels()], ids=["weights", "channels"])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_exact_map_is_the_naive_loops_to_the_sample(network, granularity):
    work, recipe = taught(network), Recipe(network, Magnitude(), granularity)
    sensed = ended(work, recipe, LEVELS, 0.0)
    assert cells(sensed) == naive(work, recipe, LEVELS)
    assert len({score for _, score in cells(sensed).values()}) > 1  # cuts that all score alike would say nothing
    assert all(cell.estimate.measured for row in sensed.rows for cell in row.cells)
    assert all(row.full_passes == "" for row in sensed.rows)


def test_a_map_scores_with_the_seed_of_its_recipe():
    """Chance prunes other weights for another seed."""
    work = taught("mlp")
    maps = [cells(ended(work, Recipe("mlp", Random(), seed=seed), LEVELS, 0.0)) for seed in (0, 5)]
    assert maps == [naive(work, Recipe("mlp", Random(), seed=seed), LEVELS) for seed in (0, 5)]
    assert maps[0] != maps[1]


@pytest.mark.parametrize("granularity", NETWORK_OF)
def test_the_exact_map_of_every_granularity(granularity):
    from pruning.granularities import GRANULARITIES

    work = tiny_for(granularity)
    recipe = Recipe(granularity, Magnitude(), GRANULARITIES[granularity]())
    assert cells(ended(work, recipe, (0.3, 0.6), 0.0)) == naive(work, recipe, (0.3, 0.6))


@pytest.mark.parametrize(
    "make, shape", [(Tied, (6,)), (LSTMClassifier, (5, 4)), (ViT, IMAGE)], ids=["tied", "recurrent", "untraceable"]
)
def test_the_exact_map_of_unusual_networks(make, shape):
    work, recipe = workload(lambda: seeded(make), shape, count=120), Recipe("tiny")
    sensed = ended(work, recipe, (0.5, 0.9), 0.0)
    assert cells(sensed) == naive(work, recipe, (0.5, 0.9))
    assert all(row.full_passes.startswith("each cut is a full pass: ") == (make is ViT) for row in sensed.rows)


def test_coupled_layers_are_one_row():
    sensed = ended(tiny("residual"), Recipe("residual", Magnitude(), Channels()), (0.5,), 0.0)
    assert {row.name: row.members for row in sensed.rows}["stem"] == ("stem", "conv2")


@pytest.mark.parametrize("width", [0.05, 0.02])
def test_every_cell_becomes_as_narrow_as_asked_and_holds_the_exact_value(width):
    work, recipe = tiny("conv_bn", count=3000), Recipe("conv_bn")
    sensed, exact = ended(work, recipe, LEVELS, width), naive(work, recipe, LEVELS)
    assert sensed.done
    for row in sensed.rows:
        for cell in row.cells:
            seen = cell.estimate
            assert seen.measured or seen.half_width <= width
            assert seen.samples in {upto for _, upto in batches(3000, 1000)}
            assert abs(seen.score - exact[row.name, cell.level][1]) <= max(seen.half_width, 1e-12)
    assert sensed.spent < 3000 * len(exact)


def test_the_rows_appear_in_the_order_of_the_groups_and_nothing_is_claimed_before_a_look():
    one = sensing(tiny("conv_bn", count=1000))
    first = one.advance(0.0, 0.01)
    assert [row.name for row in first.rows] == [group.name for group in one.groups]
    assert not first.done
    # one cut was evaluated on a few samples, none has been looked at
    assert first.spent > 0
    assert all(cell.estimate.samples == 0 and not cell.done for row in first.rows for cell in row.cells if cell.pruned)


def test_a_level_at_which_nothing_is_pruned_is_the_dense_network_and_costs_nothing():
    work = tiny("mlp")
    sensed = sensing(work, (0.0, 0.01)).advance(60.0, 0.0)
    dense = Evaluator(work.validation, work.task, CPU).score(work.build())
    assert all(cell.estimate.score == dense and cell.pruned == 0 for row in sensed.rows for cell in row.cells)
    assert sensed.spent == 0 and sensed.done
    assert all(row.full_passes == "" for row in sensed.rows)


def test_levels_that_let_as_many_be_pruned_are_evaluated_once():
    work = tiny("mlp", count=300)
    sensed = sensing(work, (0.50, 0.501, 0.8)).advance(60.0, 0.0)
    assert sensed.spent == 2 * 300 * len(sensed.rows)
    assert all(row.cells[0].estimate == row.cells[1].estimate for row in sensed.rows)


def test_spent_and_planned_meet_at_the_end():
    one = sensing(tiny("conv_bn", count=2000))
    planned = [one.advance(0.01, 0.02)]
    while not planned[-1].done:
        planned.append(one.advance(0.01, 0.02))
    assert all(sensed.planned >= sensed.spent for sensed in planned)
    assert planned[-1].planned == planned[-1].spent


def collapsing() -> nn.Module:
    """Four inputs are compared with the classes' means; the two heaviest weights lead nowhere."""
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 3))
    means = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))  # those of tests.networks.samples
    with torch.no_grad():
        model[0].weight.copy_(torch.diag(torch.tensor([1.0, 1.0, 1.0, 1.0, 5.0, 6.0])))
        model[0].bias.zero_()
        model[1].weight.copy_(means * torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, 0.0]))
        model[1].bias.copy_(-0.2 * means.square().sum(dim=1))
    return model.eval()


def test_cells_of_a_collapsed_row_wait_for_all_others():
    """With only the two heaviest weights left, and with one of them, the network answers always the same."""
    one = sensing(workload(collapsing, (6,), count=6000), (0.5, 34 / 36, 35 / 36))
    held = None
    while True:
        sensed = one.advance(0.0, 0.01)
        smaller, last = sensed.rows[0].cells[1].estimate, sensed.rows[0].cells[2].estimate
        if held is None and smaller.samples and smaller.score + smaller.half_width <= one.known.chance + 0.01:
            held = next(look for look in looks(6000) if look > last.samples)  # a sweep that began is carried through
        if all(cell.done for row in sensed.rows[1:] for cell in row.cells):
            break
    assert held is not None and sensed.rows[0].cells[2].estimate.samples <= held and not sensed.done
    assert one.advance(60.0, 0.01).done


def test_parts_together_are_the_whole():
    work = tiny("residual")
    whole = sensing(work)
    parts = [part_of(sensing(work), whole.groups[i::2]).advance(60.0, 0.0) for i in range(2)]
    rows = {row.name: row.cells for part in parts for row in part.rows}
    assert [rows[group.name] for group in whole.groups] == [row.cells for row in whole.advance(60.0, 0.0).rows]


def part_of(one: SensitivityAnalysis, groups: list) -> SensitivityAnalysis:
    return SensitivityAnalysis(one.model, groups, one.scores, one.levels, one.known, one.evaluator)


def wide() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 260), nn.ReLU(), nn.Linear(260, 260), nn.ReLU(), nn.Linear(260, 3))


def test_wide_linear_layers_are_estimated_on_a_ladder():
    levels = (0.1, 0.5, 0.6, 0.92, 0.97)
    work = workload(lambda: seeded(wide), (6,), count=2000)
    exact = naive(work, Recipe("tiny"), levels)
    one = sensing(work, levels)
    sensed = one.advance(60.0, 0.03)
    assert [list(row.cuts.incremental) for row in one._rows] == [[], ["2"], []]
    assert sensed.done and sensed.spent < 2000 * len(exact)
    for cell, (_, score) in cells(sensed).items():
        estimate = next(c.estimate for row in sensed.rows for c in row.cells if (row.name, c.level) == cell)
        assert abs(score - exact[cell][1]) <= estimate.half_width


def test_the_exact_map_keeps_nothing_that_a_ladder_rounded():
    one = sensing(workload(lambda: seeded(wide), (6,), count=600), (0.5, 0.95))
    one.advance(60.0, 0.05)
    climbed, plain = one._rows[1].cells, one._rows[0].cells
    assert all(each.samples for each in climbed + plain)
    spent, kept = one.spent, sum(each.samples for row in one._rows for each in row.cells if row is not one._rows[1])
    one.advance(60.0, 0.0)
    assert one.spent - spent == 600 * 6 - kept


@pytest.mark.parametrize("total, most", [(1, 1000), (150, 64), (700, 1000), (10_000, 1000), (10_000, 33)])
def test_batches_cover_all_samples_and_some_end_at_looks(total, most):
    made = batches(total, most)
    assert [at for at, _ in made] == [0] + [upto for _, upto in made[:-1]] and made[-1][1] == total
    assert all(0 < upto - at <= most for at, upto in made)
    ends = {upto for _, upto in made}
    assert {look for look in looks(total) if look == FIRST_LOOK or look >= 400} <= ends


@pytest.mark.parametrize("max_drop", [0.005, 0.02, 0.1])
def test_the_cells_that_decide_the_largest_cuts_are_evaluated_until_they_have(max_drop):
    levels = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
    work = tiny("conv_bn", count=6000)
    plain = sensing(work, levels).advance(60.0, 0.03)
    one = sensing(work, levels)
    decided, exact = one.advance(60.0, 0.03, max_drop), naive(work, Recipe("tiny"), levels)
    dense = decided.dense
    assert decided.done and decided.max_drop == max_drop and plain.max_drop is None
    truth = {}
    for row in decided.rows:
        fits = [dense - exact[row.name, level][1] <= max_drop + 1e-12 for level in levels]
        truth[row.name] = next((levels[i - 1] if i else 0.0 for i, fit in enumerate(fits) if not fit), levels[-1])
    assert largest_cuts(decided, max_drop) == truth
    before = largest_cuts(plain, max_drop)
    assert all(before[name] <= level for name, level in truth.items())
    assert plain.spent <= decided.spent < 6000 * len(exact)
    if max_drop == 0.005:  # what would be said too cautiously is decided, and that costs samples
        assert before != truth and plain.spent < decided.spent


class ReadsWeights(nn.Module):
    """Uses a wide layer's weights without calling the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 260), nn.Linear(260, 260), nn.Linear(260, 3)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return self.c(torch.relu(nn.functional.linear(torch.relu(self.a(vectors)), self.b.weight, self.b.bias)))


class WideTied(nn.Module):
    """Two wide layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.b2, self.c = nn.Linear(6, 260), nn.Linear(260, 260), nn.Linear(260, 260), nn.Linear(260, 3)
        self.b2.weight = self.b.weight

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return self.c(torch.relu(self.b2(torch.relu(self.b(torch.relu(self.a(vectors)))))))


class Attentive(nn.Module):
    """torch's own layer reads its weights at once while it evaluates."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.c = nn.Linear(6, 128), nn.Linear(128, 3)
        self.e = nn.TransformerEncoderLayer(128, 4, 512, batch_first=True)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return self.c(self.e(self.a(vectors)[:, None])[:, 0])


@pytest.mark.parametrize("make", [ReadsWeights, WideTied, Attentive])
def test_weights_that_are_not_used_by_calling_their_layer_have_no_ladder(make):
    levels = (0.5, 0.9, 0.99)
    work = workload(lambda: seeded(make), (6,), count=600)
    one, exact = sensing(work, levels), naive(work, Recipe("tiny"), levels)
    sensed = one.advance(60.0, 0.05)
    assert not any(row.cuts.incremental for row in one._rows)
    for row in sensed.rows:  # all cells by the same few samples: where one misses, so do others
        for cell in row.cells:
            assert abs(cell.estimate.score - exact[row.name, cell.level][1]) <= 2 * cell.estimate.half_width


def test_what_is_called_measured_is_no_ladders_sum():
    levels = (0.5, 0.9, 0.99)
    work = workload(lambda: seeded(wide), (6,), count=150)
    one = sensing(work, levels)
    sensed = one.advance(60.0, 0.01)
    assert sensed.done and cells(sensed) == naive(work, Recipe("tiny"), levels)
    assert all(each.computation is Computation.EXACT for each in one._rows[1].cells)
    deciding = sensing(workload(lambda: seeded(wide), (6,), count=2000), (0.3, 0.5, 0.6, 0.7, 0.8, 0.9))
    decided = deciding.advance(60.0, 0.05, 0.0123)
    assert decided.done
    for row in deciding._rows:
        assert all(each.computation is not Computation.INCREMENTAL for each in row.cells if each.estimate.measured)
