"""Shades can be read and keep their order; curves hold the numbers of the map."""

import itertools
import re

import pytest

from pruning.evaluation.estimate import Estimate
from pruning.layer_sensitivity.result import Sensitivity, SensitivityCell, SensitivityRow
from pruning.metric import ACCURACY, Metric
from pruning.reporting.palette import DARK_INK, LAYERS, LIGHT_INK, STAGES
from pruning.reporting.pictures import map_html
from pruning.reporting.plots_sensitivity import (
    MOST_CURVES,
    CurvePoint,
    curve_points,
    curves_figure,
    luminance,
    shade,
    worst_drop,
)

MSE = Metric("MSE", "lower", low=0.0)


def light(colour: str) -> float:
    return luminance(*(int(colour[at : at + 2], 16) for at in (1, 3, 5)))


def test_luminance_and_contrast_of_known_colours() -> None:
    assert luminance(255, 255, 255) == pytest.approx(1.0) and luminance(0, 0, 0) == 0.0
    assert luminance(255, 0, 0) == pytest.approx(0.2126)


def test_every_shade_can_be_read_and_more_loss_is_never_lighter() -> None:
    shades = [shade(step / 500, 0.9) for step in range(501)]
    for made in shades:
        bright, dim = sorted((light(made.ground), light(made.ink)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5
    grounds = [light(made.ground) for made in shades]
    assert all(after <= before for before, after in itertools.pairwise(grounds))
    assert shades[0].ink == DARK_INK and shades[-1].ink == LIGHT_INK


def test_ends_of_the_scale() -> None:
    assert shade(-0.3, 0.9) == shade(0.0, 0.9) == shade(0.0, 0.0)  # a gain is no loss
    assert shade(0.9, 0.9) == shade(1.0, 0.9)
    assert shade(0.01, 0.9) != shade(0.0, 0.9)  # a point shows


def row(name: str, *cells: SensitivityCell) -> SensitivityRow:
    return SensitivityRow(name, (name,), 10, cells)


CUT = row(
    "conv",
    SensitivityCell(0.5, 10, 5, Estimate(0.85, 0.25, -0.05, 100, 1000), False),
    SensitivityCell(0.9, 10, 9, Estimate(0.0, 1.0, 0.0, 0, 1000), False),
)


def test_points_by_hand() -> None:
    assert curve_points([CUT], 0.9) == [
        CurvePoint("conv", 0.0, 90.0, 90.0, 90.0),
        CurvePoint("conv", 50.0, 85.0, 60.0, 100.0),  # an accuracy ends at 100; of 90 % nothing is known yet
    ]


def test_each_layer_has_a_hue_a_dash_and_a_mark_of_its_own() -> None:
    for field in ("hue", "dash", "mark"):
        assert len({getattr(style, field) for style in LAYERS}) == MOST_CURVES
    assert STAGES["dense"].hue not in {style.hue for style in LAYERS}  # the line beside them


def test_the_figure_holds_the_points_their_bands_and_the_dense_line() -> None:
    rows = [row(f"layer {number}", *CUT.cells) for number in range(MOST_CURVES + 1)]  # one more than there are looks
    drawn = {trace.name: trace for trace in curves_figure(curve_points(rows, 0.9), 0.9).data if trace.name}
    assert list(drawn) == ["dense", *(f"layer {number}" for number in range(MOST_CURVES))]
    assert list(drawn["dense"].y) == [90.0, 90.0] and drawn["dense"].line.color == STAGES["dense"].hue
    assert (list(drawn["layer 1"].x), list(drawn["layer 1"].y)) == ([0.0, 50.0], [90.0, 85.0])
    band = curves_figure(curve_points([CUT], 0.9), 0.9).data[1]
    assert (list(band.x), list(band.y)) == ([0.0, 50.0, 50.0, 0.0], [90.0, 100.0, 60.0, 90.0])


def small_map(metric: Metric, dense: float, *changes: float) -> Sensitivity:
    """One row, a cell for each change; the last has not been looked at."""
    seen = [Estimate(dense + change, 0.0, change, 100, 100) for change in changes] + [Estimate(0.0, 1.0, 0.0, 0, 100)]
    cells = tuple(SensitivityCell(place / 10, 10, place, estimate, True) for place, estimate in enumerate(seen))
    return Sensitivity((SensitivityRow("a", ("a",), 10, cells),), (0.1,), dense, 100, 0.0, 1, 1, 0.1, metric=metric)


def test_the_darkest_cell_is_the_end_of_the_range_or_else_the_largest_loss() -> None:
    assert worst_drop(small_map(ACCURACY, 0.9, -0.2, -0.5)) == 0.9
    assert worst_drop(small_map(Metric("error rate", "lower", 0.0, 1.0), 0.1, 0.2)) == 0.9
    assert worst_drop(small_map(MSE, 0.2, 3.0, 7.0, -0.1)) == 7.0
    assert worst_drop(small_map(Metric("return"), 5.0, -3.0, 4.0)) == 3.0
    assert worst_drop(small_map(MSE, 0.2, -0.1)) == MSE.tolerance(0.2)  # where all are gains


def test_a_loss_is_dark_whichever_way_is_better() -> None:
    lower, higher = (
        map_html(small_map(MSE, 0.2, 3.0, -3.0), {}),
        map_html(small_map(Metric("return"), 0.2, -3.0, 3.0), {}),
    )
    dark, light = shade(1.0, 1.0).ground, shade(0.0, 1.0).ground
    for html, loss, gain in ((lower, "+3.0", "−3.0"), (higher, "−3.0", "+3.0")):
        grounds = dict(re.findall(r"background-color:(#\w+);[^>]*>([^<]+)<", html)[::-1])
        assert grounds[dark] == loss and grounds[light] == gain


def test_curves_of_an_error_are_in_its_own_unit_and_end_where_it_cannot_go() -> None:
    cells = (SensitivityCell(0.5, 100, 50, Estimate(0.25, 0.5, 0.125, 200, 1000), False),)
    row = SensitivityRow("conv", ("conv",), 100, cells)
    found = curve_points([row], 0.125, MSE)
    assert found == [CurvePoint("conv", 0.0, 0.125, 0.125, 0.125), CurvePoint("conv", 50.0, 0.25, 0.0, 0.75)]
    figure = curves_figure(found, 0.125, metric=MSE)
    assert figure.layout.yaxis.title.text == "MSE (validation), lower is better" and figure.layout.yaxis.range is None
    assert list(figure.data[0].y) == [0.125, 0.125]
