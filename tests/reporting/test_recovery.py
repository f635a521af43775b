"""The recovery ladder: intervals by the book, rungs in their order, and the same numbers in table and figure."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning.events import Stage
from pruning.metric import Metric
from pruning.reporting.palette import CUT, STAGES
from pruning.reporting.plots_recovery import recovery_figure
from pruning.reporting.recovery import recovery, recovery_rows, wilson

DENSE = Stage(0.9, 0.9, 100, 10, 10, 5, 20, 10, (0.95, 0.85), 0.0, (40, 60))
PRUNED = replace(DENSE, score=0.3, class_scores=(0.0, 0.5))
TUNED = replace(DENSE, score=0.85, class_scores=(0.8, 0.84))
STAGES_OF_RUN = {"dense": DENSE, "pruned": PRUNED, "tuned": TUNED, "exported": TUNED}
MSE = Metric("MSE", better="lower", low=0.0)


@pytest.mark.parametrize(
    "right, samples, low, high",
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_that_of_the_textbook(right: int, samples: int, low: float, high: float) -> None:
    assert wilson(right / samples, samples) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_an_interval_holds_its_score_and_is_mirrored(samples: int, share: float) -> None:
    low, high = wilson(share, samples)
    assert 0 <= low <= share + 1e-12 and share - 1e-12 <= high <= 1
    assert wilson(1 - share, samples) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_the_rungs_are_the_runs_own_stages_and_then_the_control() -> None:
    found = recovery(STAGES_OF_RUN, ("cat", "dog"), control=DENSE)
    assert [rung.name for rung in found.rungs] == ["dense", "pruned", "tuned", "control"]
    assert found.by_loss() == [0, 1]
    all_, cat, dog = recovery_rows(found)
    assert [score for score, _ in all_.cells] == ["90.0\u202f%", "30.0\u202f%", "85.0\u202f%", "90.0\u202f%"]
    assert (cat.name, dog.name) == ("cat", "dog") and cat.cells[1] == ("0.0\u202f%", "0.0 to 8.8")
    low, high = wilson(0.84, 60)
    assert dog.cells[2][1] == f"{100 * low:.1f} to {100 * high:.1f}"


def test_the_figure_has_a_mark_for_each_rung_and_a_line_for_each_class() -> None:
    figure = recovery_figure(recovery(STAGES_OF_RUN, ("cat", "dog")))
    cat, dog, dense, pruned, _tuned = figure.data
    assert list(cat.y) == pytest.approx([95.0, 0.0, 80.0]) and cat.line.color == CUT and cat.name == "cat"
    assert list(dog.y) == pytest.approx([85.0, 50.0, 84.0]) and dog.name == "other classes"
    assert dense.marker.color == STAGES["dense"].hue and list(pruned.x) == ["pruned"]
    low, high = wilson(0.9, 100)
    assert dense.error_y.array[0] == pytest.approx(100 * (high - 0.9))
    assert dense.error_y.arrayminus[0] == pytest.approx(100 * (0.9 - low))


def test_runs_of_earlier_versions_have_no_intervals_of_classes_and_errors_none_at_all() -> None:
    old = replace(DENSE, class_samples=())
    _, cat, _ = recovery_rows(recovery({"dense": old, "tuned": old}, ("cat", "dog")))
    assert cat.cells[0] == ("95.0\u202f%", "")
    by_error = recovery_rows(recovery({"dense": DENSE, "tuned": TUNED}, (), MSE))
    assert len(by_error) == 1 and by_error[0].cells[0] == ("0.900", "")
    assert len(recovery_figure(recovery({"dense": DENSE, "tuned": TUNED}, (), MSE)).data) == 2


def test_the_class_that_lost_most_is_first_whichever_way_is_better() -> None:
    error = Metric("error rate", better="lower", low=0.0, high=1.0)
    stages = {"dense": DENSE, "tuned": replace(DENSE, class_scores=(0.9, 0.95))}
    assert recovery(stages, ("cat", "dog")).by_loss() == [0, 1]
    assert recovery(stages, ("cat", "dog"), error).by_loss() == [1, 0]
