"""Sparsities by rule worked out by hand; what an amount is said to leave, against networks that are really cut."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from pruning.criteria import Magnitude, Random, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.errors import RecipeError
from pruning.events import Warned
from pruning.granularities import GRANULARITIES, Blocks, Channels, EmbeddingRows, Granularity, Kernels, Weights
from pruning.model.costs import CostModel, cost_model, costs
from pruning.model.descriptions import Costs
from pruning.model.macs import Macs
from pruning.model.surgery import remove_units
from pruning.model.units import Slice, Tiles, UnitGroup, masks_of
from pruning.recipe.recipe import Recipe
from pruning.selection.allocation import CostLeft, erk, uniform
from pruning.selection.amounts import Amount, Budget, PerLayer, Sparsity
from pruning.selection.ranking import Ranking, position, rank, select
from pruning.selection.scopes import Global, Scope, WithinLayer, WithinRow
from pruning.training.schedules import Linear
from pruning.training.tuning import Tuning
from pruning.workload import Workload
from tests.every_granularity import tiny_for
from tests.granularities.applies import work_on
from tests.networks import CPU, NETWORKS, carried_out, tiny

SHAPES = {"a.weight": (4, 6), "b.weight": (3, 4), "c.weight": (2, 3)}
"""An MLP 6-4-3-2: 24, 12 and 6 weights."""
MLP = [UnitGroup(name[0], (name[0],), shape, (Tiles(name),)) for name, shape in SHAPES.items()]


@pytest.mark.parametrize(
    "share, expected",
    [
        # densities ∝ 10/24, 7/12, 5/6. 21 of 42 stay: 21 / (10 + 7 + 5) of each: 35/88, 49/88, 35/44
        (0.5, {"a": 1 - 35 / 88, "b": 1 - 49 / 88, "c": 1 - 35 / 44}),
        # 29.4 stay: c would have a density of 29.4/22 · 5/6 > 1, so it is whole; 23.4 / (10 + 7) of the others
        (0.3, {"a": 1 - 23.4 / 17 * 10 / 24, "b": 1 - 23.4 / 17 * 7 / 12, "c": 0.0}),
        # 37.8 stay: 37.8/22 · 7/12 = 1.002, so b is whole too; 19.8 of a's 24
        (0.1, {"a": 1 - 19.8 / 24, "b": 0.0, "c": 0.0}),
        # 36.12 stay: c is whole, for 36.12/22 · 5/6 > 1, and only then b: 30.12/17 · 7/12 > 1; 18.12 of a's 24
        (0.14, {"a": 1 - 18.12 / 24, "b": 0.0, "c": 0.0}),
        (0.0, {"a": 0.0, "b": 0.0, "c": 0.0}),
        (1.0, {"a": 0.9999, "b": 0.9999, "c": 0.9999}),  # no layer is emptied that nobody asked for by name
    ],
)
def test_erdos_renyi_worked_out_by_hand(share, expected):
    shares = erk(MLP, SHAPES, share)
    assert shares == {name: round(value, 4) for name, value in expected.items()}
    pruned = sum(shares[group.name] * group.units for group in MLP)
    assert pruned == pytest.approx(share * 42, abs=42 * 1.01e-4)


def test_the_kernel_of_a_convolution_counts():
    shapes = {"conv.weight": (8, 4, 3, 3), "fc.weight": (3, 8)}
    groups = [UnitGroup(name.split(".")[0], (name,), shape, (Tiles(name),)) for name, shape in shapes.items()]
    # densities ∝ 18/288 and 11/24; 156 of 312 stay: fc would have 156/29 · 11/24 > 1, so 132 of conv's 288 stay
    assert erk(groups, shapes, 0.5) == {"conv": round(1 - 132 / 288, 4), "fc": 0.0}


def test_channels_are_allotted_by_the_shape_of_their_weight():
    shapes = {"a.weight": (4, 10), "b.weight": (40, 4)}
    groups = [
        UnitGroup(name[0], (name[0],), (shape[0],), (Slice(name, 0, torch.arange(shape[0])[:, None]),))
        for name, shape in shapes.items()
    ]
    # 14/40 · 4 + 44/160 · 40 = 1.4 + 11 = 12.4 and 22 of 44 stay: densities 22/12.4 · 0.35 and · 0.275
    expected = {"a": round(1 - 22 / 12.4 * 0.35, 4), "b": round(1 - 22 / 12.4 * 0.275, 4)}
    assert erk(groups, shapes, 0.5) == expected


def test_uniform_is_the_same_for_all():
    assert uniform(MLP, 1 / 3) == {"a": 0.3333, "b": 0.3333, "c": 0.3333}
    assert uniform(MLP, 1.0) == {"a": 0.9999, "b": 0.9999, "c": 0.9999}
    assert uniform([], 0.5) == erk([], {}, 0.5) == {}


class Bench:
    """A network's units, sorted, with what an amount is said to leave of it and what it really leaves."""

    def __init__(
        self, work: Workload, granularity: Granularity, scope: Scope, amount: Amount, random: bool = False
    ) -> None:
        self.example, self.removable = work.example, granularity.removable
        self.model = work.build()
        self.groups = granularity.sorted_out(self.model, work.example)[0]
        criterion = Random() if random else Magnitude()
        scores = unit_scores(criterion, self.model, self.groups, Calibration(work, CPU))
        self.ranking: Ranking = rank(self.groups, scores, scope, amount)
        self.left = CostLeft(self.ranking, cost_model(self.model, work.example))

    def really(self, amount: Amount) -> tuple[Costs, Costs, int]:
        """The costs of the dense network and of the one that is cut, and how many parameters did not be pruned."""
        keep = select(self.ranking, amount)
        masks = masks_of(self.groups, keep, self.model)
        own = dict(self.model.named_parameters())  # a shared parameter counts once
        stay = sum(int(masks[name].sum()) if name in masks else p.numel() for name, p in own.items())
        cut = remove_units(self.model, self.example, self.groups, keep) if self.removable else self.model
        return costs(self.model, self.example), costs(cut, self.example), stay

    def pruned(self, amount: Amount) -> int:
        return position(self.ranking, amount).pruned


@pytest.mark.parametrize("share", [0.0, 0.3, 0.77, 1.0])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_what_an_amount_leaves_is_counted_without_touching_a_weight(granularity, share):
    bench = Bench(tiny_for(granularity), GRANULARITIES[granularity](), WithinLayer(), Sparsity(share), random=True)
    dense, _, stay = bench.really(Sparsity(share))
    assert bench.left("parameters", Sparsity(share)) == stay / dense.parameters
    assert stay < dense.parameters or share == 0.0 or bench.pruned(Sparsity(share)) == 0


@pytest.mark.parametrize("rows, columns", [(4, 4), (3, 5), (1, 7), (64, 64)])
def test_blocks_at_the_edges_count_what_is_in_them(rows, columns):
    bench = Bench(tiny("conv_bn"), Blocks(rows, columns), Global(), Sparsity(0.5), random=True)
    dense, _, stay = bench.really(Sparsity(0.5))
    assert bench.left("parameters", Sparsity(0.5)) == stay / dense.parameters


@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_left_once_channels_are_removed(network):
    bench = Bench(tiny(network), Channels(), Global(), Sparsity(0.4), random=True)
    dense, cut, _ = bench.really(Sparsity(0.4))
    assert bench.left("parameters", Sparsity(0.4)) == cut.parameters / dense.parameters < 1
    assert bench.left("macs", Sparsity(0.4)) == cut.macs / dense.macs < 1
    assert abs(bench.left("bytes", Sparsity(0.4)) * dense.bytes - cut.bytes) <= 64


def test_parameters_that_can_only_be_set_to_zero_are_pruned_as_well():
    # 7 words of 6 values share their weight with the head, so that their rows stay; the positions' do not
    bench = Bench(work_on("language_model"), EmbeddingRows(), WithinLayer(), Sparsity(0.5), random=True)
    dense, cut, stay = bench.really(Sparsity(0.5))
    assert [bool(group.fixed) for group in bench.groups] == [True, False]
    assert bench.left("parameters", Sparsity(0.5)) == stay / dense.parameters < cut.parameters / dense.parameters < 1
    assert bench.left("bytes", Sparsity(0.5)) == pytest.approx(cut.bytes / dense.bytes, abs=0.02)


def test_a_budget_of_all_there_is_prunes_nothing():
    # one row less and a table of all words more would be a longer file
    bench = Bench(tiny_for("embedding_rows"), EmbeddingRows(), Global(), Budget("bytes", 1.0))
    assert bench.left("bytes", Sparsity(0.2)) > 1 and Budget("bytes", 1.0).settled(bench.left).share == 0


CASES = [
    ("weights", Weights(), "parameters"),
    ("weights", Kernels(), "parameters"),
    ("weights", Blocks(2, 3), "parameters"),
    ("channels", Channels(), "parameters"),
    ("channels", Channels(), "macs"),
    ("channels", Channels(), "bytes"),
    ("rnn_units", GRANULARITIES["rnn_units"](), "parameters"),
    ("heads", GRANULARITIES["heads"](), "parameters"),
    ("embedding_rows", GRANULARITIES["embedding_rows"](), "parameters"),
    ("embedding_rows", GRANULARITIES["embedding_rows"](), "bytes"),
    ("layers", GRANULARITIES["layers"](), "parameters"),
    ("layers", GRANULARITIES["layers"](), "bytes"),
    ("layers", GRANULARITIES["layers"](), "macs"),
]


@pytest.mark.parametrize("share", [0.55, 0.8, 0.93])
@pytest.mark.parametrize("network, granularity, of", CASES)
def test_a_budget_is_met_by_the_network_that_is_really_cut_and_not_with_one_unit_less(network, granularity, of, share):
    budget = Budget(of, share)
    bench = Bench(tiny_for(network), granularity, Global(), budget)
    if bench.left(of, Sparsity(1.0)) > share:
        with pytest.raises(RecipeError, match=rf"amount\.share is {share} of the {of}, and with one unit in each"):
            budget.settled(bench.left)
        return
    settled = budget.settled(bench.left)
    assert settled.share > 0

    def really_left(amount: Amount) -> float:
        dense, cut, stay = bench.really(amount)
        # parameters that could only be set to zero are pruned as well
        return stay / dense.parameters if of == "parameters" else getattr(cut, of) / getattr(dense, of)

    units = position(bench.ranking, settled).units
    one_less = Sparsity((bench.pruned(settled) - 1) / units)
    assert bench.pruned(one_less) == bench.pruned(settled) - 1
    # a file's header has a few digits less where the shapes are shorter
    slack = 64 / costs(bench.model, bench.example).bytes if of == "bytes" else 0.0
    assert really_left(settled) <= share + slack and really_left(one_less) > share - slack


@pytest.mark.parametrize("scope", [Global("mean"), WithinLayer(), WithinRow()])
def test_a_budget_is_met_in_every_scope(scope):
    bench = Bench(tiny("conv_bn"), Weights(), scope, Budget(share=0.3))
    dense, _, stay = bench.really(Budget(share=0.3).settled(bench.left))
    assert 0.2 < stay / dense.parameters <= 0.3


def test_a_budget_for_the_rest_counts_what_was_set_by_hand():
    amount = PerLayer({"4": 0.25}, Budget(share=0.65))
    bench = Bench(tiny("conv_bn"), Weights(), Global(), amount)
    settled = amount.settled(bench.left)
    assert isinstance(settled.rest, Sparsity) and settled.shares == {"4": 0.25}
    dense, _, stay = bench.really(settled)
    pruned = {share.name: share.pruned for share in position(bench.ranking, settled).shares}
    # 0.65 · 297 = 193.05 may stay, so that 104 are pruned: a quarter of 180 by hand, the others of the 72 + 15
    assert dense.parameters == 297 and stay == 193
    assert pruned["4"] == 45 and pruned["0"] + pruned["9"] == 59


def test_a_budget_that_the_rest_cannot_meet_says_which_share_it_is():
    amount = PerLayer({"4": 0.25}, Budget(share=0.5))
    bench = Bench(tiny("conv_bn"), Weights(), Global(), amount)
    # 135 of layer 4, 1 of each other and 30 biases and norms: 167 of 297
    sentence = (
        r"amount\.rest\.share is 0\.5 of the parameters, and with one unit in each layer 0\.5623 of them are left"
    )
    with pytest.raises(RecipeError, match=sentence):
        amount.settled(bench.left)


@pytest.mark.parametrize("schedule", [Linear(1), Linear(3)])
def test_a_run_meets_its_budget_with_a_layer_kept_whole(schedule):
    recipe = Recipe(
        "conv_bn",
        granularity=Channels(),
        amount=Budget("macs", 0.7),
        schedule=schedule,
        keep_whole=("0",),
        tuning=Tuning(epochs=1, batch_size=64),
    )
    events, result = carried_out(tiny("conv_bn"), recipe)
    dense, tuned = result.stages["dense"], result.stages["tuned"]
    assert tuned.macs <= 0.7 * dense.macs and result.model[0].out_channels == 4
    assert result.keep.keys() == {"4"} and not [event for event in events if isinstance(event, Warned)]


def test_a_budget_that_cannot_be_met_ends_the_run_before_it_begins():
    recipe = Recipe("conv_bn", granularity=Channels(), amount=Budget("macs", 0.1), tuning=Tuning(epochs=0))
    with pytest.raises(RecipeError, match=r"0\.1 of the macs, and with one unit in each layer 0\.\d+ of them are left"):
        carried_out(tiny("conv_bn"), recipe)
    whole = replace(recipe, amount=Budget("macs", 0.5), keep_whole=("0",))
    with pytest.raises(RecipeError, match="keep fewer layers whole"):
        carried_out(tiny("conv_bn"), whole)


def test_a_layer_without_work_of_its_own_does_not_divide_by_zero():
    # where no layer computes anything all of nothing is left
    model = cost_model(nn.Sequential(nn.Linear(2, 2)), torch.zeros(1, 2))
    empty = CostLeft(Ranking((), ()), replace(model, macs=Macs()))
    assert empty("macs", Sparsity(0.5)) == 1.0


def test_slices_and_tiles_of_several_sizes_in_one_pool_are_counted_each_in_their_way():
    # a: two rows of three values; b: a 3 × 3 matrix in tiles of 2 × 2, which hold 4, 2, 2 and 1 values
    shapes = {"a.weight": (2, 3), "b.weight": (3, 3)}
    rows = UnitGroup("a", ("a",), (2,), (Slice("a.weight", 0, torch.arange(2)[:, None]),))
    tiles = UnitGroup("b", ("b",), (4,), (Tiles("b.weight", 2, 2),))
    scores = {"a": torch.tensor([1.0, 5.0]), "b": torch.tensor([2.0, 3.0, 4.0, 9.0])}
    ranking = rank([rows, tiles], scores, Global(), Sparsity(0.5))
    cost = CostModel(shapes, dict.fromkeys(shapes, torch.float32), frozenset(shapes), Macs(), shapes)
    # the lowest three of six: a row and the tiles of 4 and of 2 values; 15 − 3 − 6 values are left
    assert CostLeft(ranking, cost)("parameters", Sparsity(0.5)) == 6 / 15
