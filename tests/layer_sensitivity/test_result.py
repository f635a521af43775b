import csv
import io
import json
from dataclasses import replace

from pruning.evaluation.estimate import Estimate
from pruning.layer_sensitivity.result import (
    Sensitivity,
    SensitivityCell,
    SensitivityRow,
    largest_cuts,
    suggested,
    to_csv,
    to_dict,
)
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import PerLayer
from pruning.selection.scopes import WithinLayer


def cell(level: float, change: float, half_width: float = 0.0) -> SensitivityCell:
    return SensitivityCell(level, 100, round(100 * level), Estimate(0.9 + change, half_width, change, 500, 1000), True)


MAP = Sensitivity(
    (
        SensitivityRow("conv1", ("conv1",), 100, (cell(0.2, -0.004), cell(0.5, -0.012), cell(0.8, -0.5))),
        SensitivityRow(
            "conv2", ("conv2", "conv3"), 100, (cell(0.2, 0.001, 0.004), cell(0.5, -0.007, 0.004), cell(0.8, 0.0))
        ),
        SensitivityRow(
            "fc", ("fc",), 100, (cell(0.2, -0.02), cell(0.5, 0.0), cell(0.8, 0.0)), "each cut is a full pass"
        ),
    ),
    (0.2, 0.5, 0.8), 0.9, 1000, 0.01, 4500, 4500, 1.5,
)  # fmt: skip


def test_the_largest_cut_costs_at_most_so_much_and_so_do_all_below_it():
    # conv1: 0.4 points at 0.2, 1.2 at 0.5. conv2: 0.7 + 0.4 at 0.5 might be 1.1. fc: 2 points at 0.2, whatever follows
    assert largest_cuts(MAP, 0.01) == {"conv1": 0.2, "conv2": 0.2, "fc": 0.0}
    assert largest_cuts(MAP, 0.012) == {"conv1": 0.5, "conv2": 0.8, "fc": 0.0}
    assert largest_cuts(MAP, 1.0) == {"conv1": 0.8, "conv2": 0.8, "fc": 0.8}
    assert largest_cuts(MAP, 0.0) == {"conv1": 0.0, "conv2": 0.0, "fc": 0.0}


def test_what_has_not_been_looked_at_is_not_suggested():
    unseen = SensitivityCell(0.2, 100, 20, Estimate(0.0, 1.0, 0.0, 0, 1000), False)
    one = Sensitivity((SensitivityRow("a", ("a",), 100, (unseen,)),), (0.2,), 0.9, 1000, 0.01, 0, 1000, 0.0)
    assert largest_cuts(one, 0.05) == {"a": 0.0}


def test_the_suggestion_is_the_recipe_with_a_share_for_each_layer():
    recipe = Recipe("tiny", seed=4)
    found = suggested(MAP, recipe, 0.01)
    assert found.amount == PerLayer({"conv1": 0.2, "conv2": 0.2, "fc": 0.0})
    assert found.seed == 4 and found.criterion == recipe.criterion
    assert found.scope == WithinLayer()  # that of the map, whatever the recipe's


def test_rows_with_a_layer_that_is_kept_whole_are_left_out_of_the_suggestion():
    found = suggested(MAP, Recipe("tiny", keep_whole=("conv3",)), 0.012)
    assert found.amount == PerLayer({"conv1": 0.5, "fc": 0.0})


def test_a_cell_of_the_csv_is_a_line():
    lines = list(csv.DictReader(io.StringIO(to_csv(MAP))))
    assert len(lines) == 9
    assert lines[4] == {
        "layer": "conv2", "members": "conv2 conv3", "level": "0.5", "units": "100", "pruned": "50",
        "score": "0.893", "change": "-0.007", "half_width": "0.004", "samples": "500", "total": "1000",
    }  # fmt: skip


def test_the_dict_survives_json():
    read = json.loads(json.dumps(to_dict(MAP)))
    assert read["version"] == 1 and read["done"] is True
    assert read["rows"][1]["members"] == ["conv2", "conv3"]
    assert read["rows"][1]["cells"][1]["estimate"]["change"] == -0.007


def test_a_score_that_is_no_number_fits_no_limit():
    row = MAP.rows[0]
    cells = tuple(replace(cell, estimate=replace(cell.estimate, change=float("nan"))) for cell in row.cells)
    assert largest_cuts(replace(MAP, rows=(replace(row, cells=cells),)), 1.0) == {row.name: 0.0}
