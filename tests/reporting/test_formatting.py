"""How numbers are written: answers worked out by hand. Spaces are thin, minus signs are minus signs."""

import pytest

from pruning.metric import ACCURACY, Metric
from pruning.reporting import formatting as numbers

MSE, R2, ERROR_RATE = Metric("MSE", "lower", low=0.0), Metric("R²", high=1.0), Metric("error rate", "lower", 0.0, 1.0)


def plain(text: str) -> str:
    return text.replace(numbers.THIN, " ").replace(numbers.MINUS, "-")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "B", "0 B"),
        (7, "", "7"),
        (999, "B", "999 B"),
        (1000, "B", "1.00 kB"),
        (82432, "B", "82.4 kB"),
        (999499, "", "999 k"),
        (999500, "", "1.00 M"),
        (1031744, "", "1.03 M"),
        (-20490, "", "-20.5 k"),
        (0.5, "s", "0.500 s"),
    ],
)
def test_si(value: float, unit: str, text: str) -> None:
    assert plain(numbers.si(value, unit)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0123, "0.0123"), (1.2, "1.20"), (312.4, "312"), (-0.5, "-0.500"), (0.00000123, "1.23e-06")],
)
def test_significant(value: float, text: str) -> None:
    assert plain(numbers.significant(value)) == text


@pytest.mark.parametrize(
    ("change", "text"),
    [(-0.0084, "-0.84 points"), (0.012, "+1.20 points"), (0.0, "±0.00 points"), (-0.000001, "±0.00 points")],
)
def test_points(change: float, text: str) -> None:
    assert plain(numbers.points(change)) == text


@pytest.mark.parametrize(
    ("change", "text"), [(-0.0084, "-0.8"), (0.1234, "+12.3"), (0.0, "0.0"), (-0.0004, "0.0"), (0.0004, "0.0")]
)
def test_points_under_a_heading_are_bare(change: float, text: str) -> None:
    assert plain(numbers.bare_points(change)) == text


@pytest.mark.parametrize(
    ("before", "after", "text"), [(100, 20, "-80.0 %"), (100, 100, "±0 %"), (50, 75, "+50.0 %"), (0, 3, "±0 %")]
)
def test_relative(before: float, after: float, text: str) -> None:
    assert plain(numbers.relative(before, after)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (38.2, "38 s"), (125, "2 min 05 s"), (59.7, "1 min 00 s"), (4320, "1 h 12 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert plain(numbers.duration(seconds)) == text


def test_count_and_percent() -> None:
    assert plain(numbers.count(1234567)) == "1 234 567"
    assert plain(numbers.percent(0.9163)) == "91.6 %"
    assert plain(numbers.percent(0.9163, 2)) == "91.63 %"


@pytest.mark.parametrize(
    ("score", "metric", "decimals", "text"),
    [
        (0.91625, ACCURACY, 2, "91.62 %"),
        (0.91625, ACCURACY, 1, "91.6 %"),
        (0.0712345, MSE, 2, "0.07123"),
        (0.0712345, MSE, 1, "0.0712"),
        (-0.5, R2, 2, "-0.5000"),
        (0.0, MSE, 2, "0"),
    ],
)
def test_a_score_is_written_in_its_own_unit(score: float, metric: Metric, decimals: int, text: str) -> None:
    assert plain(numbers.score_text(score, metric, decimals)) == text


@pytest.mark.parametrize(
    ("change", "metric", "text"),
    [
        (-0.0084, ACCURACY, "-0.84 points"),
        (0.0123, MSE, "+0.0123 worse"),
        (-0.0123, MSE, "-0.0123 better"),
        (0.0, MSE, "0"),
        (0.0123, R2, "+0.0123"),
        (0.012, ERROR_RATE, "+1.20 points worse"),
        (0.0, ERROR_RATE, "±0.00 points"),
    ],
)
def test_a_change_is_signed_and_where_lower_is_better_said_in_words(change: float, metric: Metric, text: str) -> None:
    assert plain(numbers.change_text(change, metric)) == text


def test_an_estimate_is_called_worse_only_where_its_interval_says_so() -> None:
    assert plain(numbers.change_text(0.0142, MSE, half_width=0.0061)) == "+0.0142 worse"
    assert plain(numbers.change_text(0.0042, MSE, half_width=0.0061)) == "+0.0042"


@pytest.mark.parametrize(
    ("change", "half_width", "text"),
    [
        (0.0712345, 0.0, "+0.071"),
        (0.0712345, 0.0043, "+0.0712"),
        (0.0712345, 0.3, "+0.07"),
        (-0.0001, 0.3, "0.00"),
        (-371.2, 40.0, "-371"),
    ],
)
def test_an_estimated_change_has_no_digits_that_its_interval_leaves_open(
    change: float, half_width: float, text: str
) -> None:
    assert plain(numbers.bare_change(change, MSE, half_width=half_width)) == text


def test_an_interval_is_written_in_the_unit_of_the_score() -> None:
    assert plain(numbers.width_text(0.0062, ACCURACY)) == "0.6 %" and numbers.bare_width(0.0062, ACCURACY) == "0.6"
    assert numbers.width_text(0.0062, MSE) == numbers.bare_width(0.0062, MSE) == "0.0062"
    assert numbers.bare_score(0.0712345, MSE, 0.0062) == "0.0712" and numbers.bare_score(0.9163, ACCURACY) == "91.6"


def test_a_limit_is_points_only_where_scores_are_in_percent() -> None:
    limits = [
        numbers.limit_text(limit, metric) for limit, metric in ((0.01, ACCURACY), (0.025, ACCURACY), (0.002, MSE))
    ]
    assert limits == ["1 point", "2.5 points", "0.002 MSE"]
    assert numbers.worse_than_allowed(0.0523, 0.01, ACCURACY) == "accuracy dropped by 5.23 points, more than 1"
    assert numbers.worse_than_allowed(0.0523, 0.01, MSE) == "MSE rose by 0.0523, more than 0.01"


def test_axes_rows_and_headings_say_which_way_is_better() -> None:
    assert numbers.axis_title(ACCURACY, "test") == "accuracy, % (test)"
    assert numbers.axis_title(MSE, "test") == "MSE (test), lower is better"
    assert numbers.score_label(ACCURACY, "test") == "accuracy, test"
    assert numbers.score_label(MSE, "test") == "MSE, test (lower is better)"
    assert numbers.changes_of(ACCURACY) == "accuracy in points" and numbers.changes_of(MSE) == "MSE (lower is better)"
    assert numbers.axis_ends(ACCURACY) == [0.0, 100.0] and numbers.axis_ends(MSE) is None
    assert (numbers.on_axis(0.5, ACCURACY), numbers.on_axis(0.5, MSE)) == (50.0, 0.5)
    assert [numbers.capitalised(name) for name in ("accuracy", "mAP", "R²")] == ["Accuracy", "mAP", "R²"]


def test_an_interval_without_bounds_is_called_asymptotic() -> None:
    assert numbers.intervals_of(ACCURACY) == "± 95 % intervals"
    assert numbers.intervals_of(MSE) == "± 95 % intervals (asymptotic: MSE has no bounds)"
