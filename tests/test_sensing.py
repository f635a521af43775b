"""The map equals the loop that everybody writes, to the sample, on networks of every kind; it may be interrupted."""

import pytest
import torch
from torch import nn

from pruning.amounts import Sparsity
from pruning.boundary import looks
from pruning.calibration import Calibration
from pruning.criteria import Magnitude, unit_scores
from pruning.granularities import Channels, Weights
from pruning.known import known_of
from pruning.measure import judge_all
from pruning.recipe import Recipe
from pruning.scopes import Layer
from pruning.select import rank, select
from pruning.sensing import Sensing, sense
from pruning.sensitivity import Sensitivity
from pruning.surgery import masked_copy
from pruning.workload import Workload
from tests.architectures import IMAGE, LSTMClassifier, ViT
from tests.every_granularity import NETWORK_OF, tiny_for
from tests.networks import CPU, NETWORKS, Tied, seeded, tiny, workload

LEVELS = (0.2, 0.5, 0.8, 1.0)


def naive(work: Workload, recipe: Recipe, levels: tuple[float, ...]) -> dict[tuple[str, float], tuple[int, float]]:
    """Copy, cut one layer, judge all samples; for every layer and level."""
    model = work.build()
    groups, _ = recipe.granularity.sorted_out(model, work.example)
    scores = unit_scores(recipe.criterion, model, groups, Calibration(work, CPU, recipe.seed))
    found = {}
    for group in groups:
        for level in levels:
            keep = select(rank([group], scores, Layer(), Sparsity(level)), Sparsity(level))
            judged, _ = judge_all(masked_copy(model, [group], keep), work.validation, work.task, CPU)
            found[group.name, level] = (int((~keep[group.name]).sum()), float(judged.double().mean()))
    return found


def ended(work: Workload, recipe: Recipe, levels: tuple[float, ...], half_width: float) -> Sensitivity:
    going_on = sense(work, recipe, levels, half_width, CPU)
    while True:
        try:
            next(going_on)
        except StopIteration as end:
            return end.value


def cells(sensed: Sensitivity) -> dict[tuple[str, float], tuple[int, float]]:
    return {(row.name, cell.level): (cell.fallen, cell.estimate.score) for row in sensed.rows for cell in row.cells}


def sensing(work: Workload, levels: tuple[float, ...] = LEVELS) -> Sensing:
    model = work.build()
    groups, left_out = Weights().sorted_out(model, work.example)
    scores = unit_scores(Magnitude(), model, groups, Calibration(work, CPU, 0))
    known = known_of(model, work.validation, work.task, CPU)
    return Sensing(model, groups, scores, levels, known, work.validation, work.task, CPU, left_out)


@pytest.mark.parametrize("granularity", [Weights(), Channels()], ids=["weights", "channels"])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_exact_map_is_the_naive_loops_to_the_sample(network, granularity):
    work, recipe = tiny(network), Recipe(network, Magnitude(), granularity)
    sensed = ended(work, recipe, LEVELS, 0.0)
    assert cells(sensed) == naive(work, recipe, LEVELS)
    assert all(cell.estimate.measured for row in sensed.rows for cell in row.cells)
    assert all(row.full_passes == "" for row in sensed.rows)


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
            assert seen.samples in looks(3000)
            assert abs(seen.score - exact[row.name, cell.level][1]) <= max(seen.half_width, 1e-12)
    assert sensed.spent < 3000 * len(exact)


def test_a_map_goes_on_from_where_it_was_left():
    work = tiny("mlp", count=2000)
    one = sensing(work)
    coarse = one.advance(60.0, 0.1)
    assert coarse.done
    finer = one.advance(60.0, 0.0)
    once = 2000 * sum(len({c.fallen for c in row.cells}) for row in finer.rows)
    assert finer.done and finer.spent < once + coarse.spent  # only what was rounded is judged again
    assert cells(finer) == cells(sensing(work).advance(60.0, 0.0))


def test_a_map_may_be_interrupted_between_any_two_steps():
    work = tiny("residual", count=250)
    whole, bit_by_bit = sensing(work).advance(60.0, 0.0), sensing(work)
    steps, sensed = 0, whole
    while steps < 100 or sensed.half_width or not sensed.done:
        sensed = bit_by_bit.advance(0.0, (0.3, 0.2, 0.1)[steps % 3] if steps < 100 else 0.0)
        steps += 1
        assert steps < 20_000
    assert steps > 100 and cells(sensed) == cells(whole)


def test_work_in_the_middle_leaves_the_network_alone():
    work = tiny("conv_bn")
    one = sensing(work)
    before = {name: tensor.clone() for name, tensor in one.model.state_dict().items()}
    for _ in range(40):
        one.advance(0.0, 0.0)
        for model in (one.model, one._work):  # cuts are made in the copy, and taken back after each batch
            assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_rows_appear_in_the_order_of_the_groups_and_nothing_is_claimed_before_a_look():
    one = sensing(tiny("conv_bn", count=1000))
    first = one.advance(0.0, 0.01)
    assert [row.name for row in first.rows] == [group.name for group in one.groups]
    assert not first.done
    # one cut was judged on a few samples, none has been looked at
    assert first.spent > 0
    assert all(cell.estimate.samples == 0 and not cell.done for row in first.rows for cell in row.cells if cell.fallen)


def test_a_level_at_which_nothing_falls_is_the_dense_network_and_costs_nothing():
    work = tiny("mlp")
    sensed = sensing(work, (0.0, 0.01)).advance(60.0, 0.0)
    dense = float(judge_all(work.build(), work.validation, work.task, CPU)[0].double().mean())
    assert all(cell.estimate.score == dense and cell.fallen == 0 for row in sensed.rows for cell in row.cells)
    assert sensed.spent == 0 and sensed.done
    assert all(row.full_passes == "" for row in sensed.rows)


def test_levels_that_let_as_many_fall_are_judged_once():
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


def part_of(one: Sensing, groups: list) -> Sensing:
    return Sensing(one.model, groups, one.scores, one.levels, one.known, one.split, one.task, one.device)


def test_a_wide_linear_layer_of_which_little_is_left_is_estimated_by_a_sparse_kernel():
    def wide() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 60), nn.ReLU(), nn.Linear(60, 40), nn.ReLU(), nn.Linear(40, 3))

    work = workload(lambda: seeded(wide), (6,), count=2000)
    exact = naive(work, Recipe("tiny"), (0.92, 0.97))
    sensed = ended(work, Recipe("tiny"), (0.92, 0.97), 0.03)
    for row in sensed.rows:
        for cell in row.cells:
            assert abs(cell.estimate.score - exact[row.name, cell.level][1]) <= cell.estimate.half_width


def test_the_exact_map_keeps_nothing_that_a_sparse_kernel_rounded():
    def wide() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 60), nn.ReLU(), nn.Linear(60, 3))

    one = sensing(workload(lambda: seeded(wide), (6,), count=600), (0.5, 0.95))
    one.advance(60.0, 0.05)
    rounded, plain = one._rows[0].cuts[1], one._rows[0].cuts[0]
    assert rounded.sparse and rounded.samples and not plain.sparse
    spent = one.spent
    one.advance(60.0, 0.0)
    assert one.spent - spent >= 600 and rounded.samples == 600
