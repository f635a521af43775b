"""The table of a sweep: means and intervals worked out by hand, and what is a column."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning.metric import Metric
from pruning.reporting.formatting import MINUS, THIN
from pruning.reporting.sweep_table import heads, mean, rows, seeds_of, sweep_table
from tests.reporting.sweep_trials import trial

MSE = Metric("MSE", better="lower", low=0.0)


def test_the_interval_is_students_t() -> None:
    """Quantiles of the textbook's table: 12.706 for two values, 4.303 for three."""
    two, three = mean([1.0, 3.0]), mean([1.0, 2.0, 3.0])
    assert (two.value, two.count) == (2.0, 2)
    assert two.half_width == pytest.approx(12.706 * math.sqrt(2) / math.sqrt(2), abs=1e-3)
    assert three.half_width == pytest.approx(4.3027 * 1.0 / math.sqrt(3), abs=1e-4)
    assert mean([5.0]).half_width is None and mean([5.0]).value == 5.0


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.floats(0.1, 10))
def test_an_interval_scales_with_its_values(values: list[float], factor: float) -> None:
    one, scaled = mean(values), mean([factor * value for value in values])
    assert one.half_width is not None and scaled.half_width is not None
    assert scaled.half_width == pytest.approx(factor * one.half_width, abs=1e-9)


def test_runs_that_differ_in_the_seed_alone_are_one_row() -> None:
    made = sweep_table([trial(0.8, 0.5, 0), trial(0.84, 0.5, 1), trial(0.7, 0.9, 0)])
    assert made.columns == ("amount.share",)
    assert [(group.settings, len(group.trials)) for group in made.groups] == [(("0.5",), 2), (("0.9",), 1)]
    assert made.groups[0].mean("score").value == pytest.approx(0.82)
    assert made.groups[0].mean("change").value == pytest.approx(-0.08)
    assert made.groups[0].mean("compression").value == 2.0
    assert made.groups[0].mean("seconds").value == 10.5
    assert ("criterion.kind", "magnitude") in made.same and ("workload", "mlp") in made.same
    assert "seed" not in dict(made.same)


def test_a_row_is_written_with_its_intervals_and_one_run_without() -> None:
    made = sweep_table([trial(0.8, 0.5, 0), trial(0.84, 0.5, 1), trial(0.7, 0.9, 0)])
    assert heads(made)[:4] == ["what", "amount.share", "seeds", "Accuracy (test)"]
    first, second = rows(made)
    # 12.706 times the standard deviation, 0.0283, over the root of 2
    assert first[:5] == ["grid", "0.5", "2", f"82.00 ± 25.41{THIN}%", f"{MINUS}8.00 ± 25.41 points"]
    assert first[5:8] == ["50", "2.00×", f"500{THIN}B"]
    assert second[:5] == ["grid", "0.9", "1", f"70.00{THIN}%", f"{MINUS}20.00{THIN}points"]
    assert "±" not in "".join(second) and seeds_of(made).endswith("2 seeds; one run alone has no interval.")
    assert seeds_of(sweep_table([trial(0.8)])) == "One seed for each setting: there are no intervals."


def test_the_fields_of_a_choice_that_its_kind_says_are_no_columns() -> None:
    one = trial(0.8)
    criteria = ({"kind": "magnitude", "p": 1}, {"kind": "taylor", "order": 1})
    recipes = [{**one.recipe, "criterion": criterion} for criterion in criteria]
    made = sweep_table([replace(one, recipe=recipe) for recipe in recipes])
    assert made.columns == ("criterion.kind",) and heads(made)[1] == "criterion"
    recipes.append({**one.recipe, "criterion": {"kind": "taylor", "order": 2}})
    made = sweep_table([replace(one, recipe=recipe) for recipe in recipes])
    assert made.columns == ("criterion.kind", "criterion.order")


def test_controls_come_last_and_make_no_columns() -> None:
    runs = [trial(0.88, 0.0, role="dense"), trial(0.8), trial(0.5, criterion="random", role="random")]
    made = sweep_table(runs)
    assert made.columns == () and [group.role for group in made.groups] == ["grid", "dense", "random"]
    assert [row[0] for row in rows(made)] == ["grid", "dense control", "random control"]
    assert [group.label for group in made.groups] == ["all runs", "dense control", "random control"]


def test_a_choice_that_a_recipe_leaves_out_is_none() -> None:
    plain = trial(0.8)
    repaired = replace(plain, recipe={**plain.recipe, "repair": {"kind": "least_squares", "samples": 1024}})
    made = sweep_table([plain, repaired])
    assert made.columns == ("repair.kind",) and [row[1] for row in rows(made)] == ["none", "least_squares"]
    assert [group.label for group in made.groups] == ["all runs", "least squares"]


def test_the_change_from_the_control_is_paired_by_seed() -> None:
    """80 and 84 % against controls of 81 and 86 %: −1 and −2 points, though the scores are 4 points apart."""
    pairs = [(trial(0.8, seed=0), 0.81), (trial(0.84, seed=1), 0.86)]
    runs = [replace(one, control=replace(one.tuned, score=score)) for one, score in pairs]
    made = sweep_table([*runs, trial(0.91, 0.0, role="dense")])
    found = made.groups[0].mean("control_change")
    assert found is not None and found.value == pytest.approx(-0.015)
    assert found.half_width == pytest.approx(12.706 * 0.01 / math.sqrt(2) / math.sqrt(2), abs=1e-4)
    place = heads(made).index("change from control")
    assert [row[place] for row in rows(made)] == [f"{MINUS}1.50 ± 6.35 points", "–"]
    assert "change from control" not in heads(sweep_table([trial(0.8)]))


def test_another_metric_is_written_in_its_own_unit() -> None:
    made = sweep_table([trial(0.25, 0.5, 0, metric=MSE), trial(0.27, 0.5, 1, metric=MSE)])
    assert heads(made)[2] == "MSE (test)" and rows(made)[0][2].startswith("0.2600 ± 0.13")
    assert rows(made)[0][3] == f"{MINUS}0.64 ± 0.13 MSE"
    mixed = sweep_table([trial(0.25, metric=MSE), trial(0.8, workload="cnn")])
    assert mixed.metric is None and heads(mixed)[3] == "score (test)"


def test_no_runs_give_no_rows() -> None:
    assert rows(sweep_table([])) == [] and sweep_table([]).same == ()
