from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pruning.criteria import Activation, Magnitude, Taylor
from pruning.errors import PruningError, RecipeError
from pruning.granularities import Channels, Weights
from pruning.interactive.queries import heatmap
from pruning.interactive.responses import CELLS
from pruning.interactive.session import PreviewSession
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import PerLayer, Sparsity
from pruning.selection.ranking import select
from pruning.selection.scopes import WithinLayer
from tests.networks import CPU, VECTOR, seeded, tiny, workload
from tests.own_layers import OwnLayers

WIDE = (300, 200)
"""Rows and columns of a layer that is larger than the picture both ways."""


def build() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(WIDE[1], WIDE[0]), nn.ReLU(), nn.Linear(WIDE[0], 3)))


BENCH = PreviewSession({"wide": lambda: workload(build, (WIDE[1],), count=20), "conv": lambda: tiny("conv"),
             "residual": lambda: tiny("residual"),
             "own": lambda: workload(lambda: seeded(OwnLayers), VECTOR, count=20)}, CPU)  # fmt: skip
HALF = Recipe("wide", Magnitude(), Weights(), WithinLayer(), Sparsity(0.5))


def pooled(values: np.ndarray, of: str) -> np.ndarray:
    """Cells of at most CELLS a side, each of the part from floor(i·n/c) to ceil((i+1)·n/c)."""
    rows, columns = (min(side, CELLS) for side in values.shape)
    edges = [
        [(i * n // c, -(-(i + 1) * n // c)) for i in range(c)]
        for n, c in zip(values.shape, (rows, columns), strict=True)
    ]
    pool = {"max": np.max, "mean": np.mean}[of]
    return np.array([[pool(values[a:b, c:d]) for c, d in edges[1]] for a, b in edges[0]])


def weights() -> np.ndarray:
    return build()[0].weight.detach().abs().numpy()


def pruned() -> np.ndarray:
    keep = select(BENCH.ranking(HALF), HALF.amount)["0"]
    return (~keep).reshape(WIDE).numpy().astype(float)


@pytest.mark.parametrize(
    "window",
    [
        None,
        (0, 300, 0, 200),
        (0, 128, 0, 128),
        (10, 139, 5, 200),
        (299, 300, 0, 200),
        (7, 8, 9, 10),
        (0, 300, 150, 160),
    ],
)
def test_a_window_is_pooled_cell_by_cell(window):
    seen = heatmap(BENCH, HALF, "0", window)
    top, bottom, left, right = window or (0, 300, 0, 200)
    part = (slice(top, bottom), slice(left, right))
    assert (seen.shape, seen.top, seen.bottom, seen.left, seen.right) == (WIDE, top, bottom, left, right)
    assert seen.values.shape == seen.pruned.shape == (min(bottom - top, CELLS), min(right - left, CELLS))
    assert np.array_equal(seen.values, pooled(weights()[part], "max"))
    assert np.abs(seen.pruned - 255 * pooled(pruned()[part], "mean")).max() <= 0.5001
    assert (seen.values.dtype, seen.pruned.dtype) == (np.float32, np.uint8)
    assert seen.highest == weights().max() and not seen.of_units


def test_where_the_window_fits_cells_are_single_weights():
    seen = heatmap(BENCH, HALF, "0", (100, 200, 50, 150))
    assert np.array_equal(seen.values, weights()[100:200, 50:150])
    assert np.array_equal(seen.pruned, 255 * pruned()[100:200, 50:150])


@pytest.mark.parametrize(
    "window", [(0, 301, 0, 200), (-1, 10, 0, 10), (10, 10, 0, 10), (20, 10, 0, 10), (0, 10, 0, 201), (0, 10, 30, 20)]
)
def test_a_window_outside_the_layer_is_refused(window):
    with pytest.raises(PruningError, match=r"0: the window \(.*\) does not lie in 300 x 200; reset the zoom"):
        heatmap(BENCH, HALF, "0", window)


@pytest.mark.parametrize("layer", ["9", "", "bn1"])
def test_what_is_no_layer_with_a_matrix_is_refused(layer):
    with pytest.raises(RecipeError, match="is not a layer with a weight matrix; choose one from the layer table"):
        heatmap(BENCH, Recipe("residual"), layer, None)


def test_a_convolution_is_filters_by_channels_and_kernel():
    seen = heatmap(BENCH, Recipe("conv", Taylor(), amount=Sparsity(0.3)), "3", None)
    assert seen.shape == (5, 4 * 9) and seen.values.shape == (5, 36)
    keep = select(BENCH.ranking(Recipe("conv", Taylor())), Sparsity(0.3))["3"]
    assert np.array_equal(seen.pruned == 255, ~keep.reshape(5, 36).numpy())


def test_channels_are_pruned_with_their_rows_and_the_columns_that_read_them():
    recipe = Recipe("conv", Magnitude(), Channels(), WithinLayer(), Sparsity(0.4))
    keep = select(BENCH.ranking(recipe), recipe.amount)
    second = heatmap(BENCH, recipe, "3", None).pruned.reshape(5, 4, 9) == 255
    expected = np.zeros((5, 4, 9), dtype=bool)
    expected[~keep["3"].numpy()] = True
    expected[:, ~keep["0"].numpy()] = True
    assert np.array_equal(second, expected) and expected.any() and not expected.all()
    # the output layer keeps its units and loses the columns of what were pruned before it
    last = heatmap(BENCH, recipe, "7", None)
    assert np.array_equal(last.pruned.reshape(3, 5, 4) == 255, np.broadcast_to(~keep["3"].numpy()[:, None], (3, 5, 4)))


def test_single_weights_are_shown_where_the_criterion_scores_them_also_for_channels():
    seen = heatmap(BENCH, Recipe("conv", Magnitude(), Channels()), "0", None)
    assert not seen.of_units
    assert np.array_equal(seen.values, BENCH.opened("conv").model[0].weight.detach().abs().flatten(1).numpy())


def test_scores_of_units_are_spread_over_their_rows_where_weights_have_none():
    seen = heatmap(BENCH, Recipe("conv", Activation(), Channels()), "0", None)
    scores = BENCH.scores("conv", Activation(), Channels(), 0)[1]["0"]
    assert seen.of_units and np.array_equal(seen.values, scores[:, None].expand(4, 18).numpy())


def test_a_layer_without_scores_is_shown_by_the_size_of_its_weights():
    seen = heatmap(BENCH, Recipe("conv", Activation(), Channels()), "7", None)
    assert not seen.of_units
    assert torch.equal(torch.from_numpy(seen.values), BENCH.opened("conv").model[7].weight.detach().abs())


def test_a_layer_kept_whole_shows_nothing_pruned():
    recipe = Recipe("conv", amount=PerLayer({}, Sparsity(0.5)), keep_whole=("3",))
    assert heatmap(BENCH, recipe, "3", None).pruned.sum() == 0 < heatmap(BENCH, recipe, "0", None).pruned.sum()


@pytest.mark.parametrize(
    "layer, shape, out_by_in", [("up", (2, 5), False), ("experts.down", (2, 6), False), ("head", (3, 3), True)]
)
def test_a_layer_that_is_not_torchs_lies_as_it_is_stored(layer, shape, out_by_in):
    seen = heatmap(BENCH, replace(HALF, workload="own"), layer, None)
    assert (seen.shape, seen.out_by_in) == (shape, out_by_in)


def test_what_hangs_beside_layers_is_seen_as_weights_and_as_units_where_it_is_asked_for():
    recipe = replace(HALF, workload="own", granularity=Weights(bare_parameters=True))
    seen = heatmap(BENCH, recipe, "positions", None)
    assert seen.shape == (1, 8) and int((seen.pruned == 255).sum()) == 4
    assert int(heatmap(BENCH, replace(recipe, granularity=Weights()), "positions", None).pruned.sum()) == 0
