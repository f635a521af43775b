"""Shades can be read and keep their order; curves hold the numbers of the map."""

import itertools

import pytest

from pruning.evaluation.estimate import Estimate
from pruning.layer_sensitivity.result import SensitivityCell, SensitivityRow
from pruning.reporting.plots_sensitivity import (
    DARK_INK,
    LIGHT_INK,
    MOST_CURVES,
    SERIES,
    CurvePoint,
    curve_points,
    curves_chart,
    luminance,
    shade,
)


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
    assert all(len(set(parts)) == MOST_CURVES for parts in zip(*SERIES, strict=True))
    rows = [row(f"layer {number}", *CUT.cells) for number in range(MOST_CURVES)]
    made = curves_chart(curve_points(rows, 0.9), 0.9).to_dict()
    (points,) = (layer for layer in made["layer"] if layer["mark"]["type"] == "point")
    assert points["encoding"]["color"]["scale"]["domain"] == [row.name for row in rows]
    assert len(made["datasets"]) == 2 and sorted(map(len, made["datasets"].values())) == [1, 2 * MOST_CURVES]
