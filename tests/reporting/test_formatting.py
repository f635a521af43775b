"""How numbers are written: answers worked out by hand. Spaces are thin, minus signs are minus signs."""

import pytest

from pruning.reporting import formatting as numbers


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
