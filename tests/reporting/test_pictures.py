"""Pictures by their meaning: what their titles say, how many cuts they draw, and no name that becomes markup."""

import xml.etree.ElementTree as xml
from dataclasses import replace

import numpy as np
import pytest

from pruning.evaluation.estimate import Estimate
from pruning.interactive.responses import LayerView
from pruning.layer_sensitivity.result import Sensitivity, SensitivityCell, SensitivityRow
from pruning.reporting.palette import CUT, SERIES, STAGES
from pruning.reporting.pictures import (
    curve_html,
    curve_svg,
    histogram_svg,
    layers_html,
    map_html,
    sizes_svg,
    table_html,
)
from pruning.reporting.run_summary import Curve, ScorePoint


def view(**changes: object) -> LayerView:
    made = LayerView(
        "conv<1>", "conv<1>", 1300, 300, False, "", -1.0, 1.0, np.array([0, 10, 5]), np.array([4, 2, 0]), (0.5,)
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def found(svg: str, tag: str, look: str = "") -> list[xml.Element]:
    return [each for each in xml.fromstring(svg).iter(tag) if each.get("class", "") == look or not look]


@pytest.mark.parametrize("cuts", [(), (0.5,), (-0.5, 0.5)])
def test_a_histogram_has_a_line_for_each_cut_where_it_lies(cuts: tuple[float, ...]) -> None:
    lines = found(histogram_svg(view(cuts=cuts)), "line", "cut")
    assert [float(line.attrib["x1"]) for line in lines] == [256 * (cut + 1) / 2 for cut in cuts]


def test_a_cut_beyond_the_axis_is_not_drawn() -> None:
    assert found(histogram_svg(view(cuts=(7.0,))), "line", "cut") == []


def test_a_histogram_says_how_many_units_are_pruned_and_draws_each_bin_once() -> None:
    svg = histogram_svg(view())
    assert found(svg, "title")[0].text == "conv<1>: 300 of 1\u202f300 units are pruned"
    bars = {look: found(svg, "path", look)[0].attrib["d"].count("M") for look in ("kept", "pruned")}
    assert bars == {"kept": 2, "pruned": 2}


def test_a_bin_of_both_is_stacked() -> None:
    """10 kept and 2 pruned of at most 12 fill the height of 40: the pruned ones stand on the kept ones."""
    path = found(histogram_svg(view()), "path", "pruned")[0].attrib["d"].split("M")[2]
    assert path.startswith("85.3 6.7v-6.7")


def test_an_empty_histogram_is_drawn_too() -> None:
    svg = histogram_svg(view(kept=np.zeros(3, int), pruned=np.zeros(3, int), low=0.0, high=0.0, cuts=()))
    assert found(svg, "path", "kept")[0].attrib["d"] == ""


def test_layers_that_stay_whole_say_why() -> None:
    html = layers_html([view(), view(name="fc", why_not="the <output> layer")])
    assert html.count("<svg") == 1 and "the &lt;output&gt; layer" in html and "76.9" in html


CELLS = (
    SensitivityCell(0.5, 10, 5, Estimate(0.85, 0.25, -0.05, 100, 1000), False),
    SensitivityCell(0.9, 10, 9, Estimate(0.0, 1.0, 0.0, 0, 1000), False),
)
MAP = Sensitivity((SensitivityRow("a<b", ("a<b",), 10, CELLS),), (0.5, 0.9), 0.9, 1000, 0.01, 1, 2, 0.1)


def test_a_map_has_a_cell_for_each_level_and_outlines_the_chosen_cut() -> None:
    html = map_html(MAP, {"a<b": 0.5})
    assert "a&lt;b" in html and "\u22125.0<br><small>± 25.0</small>" in html and html.count("…") == 1
    assert html.count(f"outline:3px solid {CUT}") == 1 and map_html(MAP, {}).count("outline") == 0


def test_a_curve_says_where_it_ends_and_draws_the_dense_line() -> None:
    points = (ScorePoint(0, 0.5, 0.8), ScorePoint(10, 0.75, 0.8))
    svg = curve_svg(Curve(points, (), (), 0.9, 10))
    assert found(svg, "title")[0].text == "validation accuracy 75.00\u202f% after 10 steps, dense 90.00\u202f%"
    assert [line.attrib["stroke"] for line in found(svg, "polyline")] == [SERIES["accuracy"].hue, STAGES["dense"].hue]
    assert [point.split(",")[0] for point in found(svg, "polyline")[0].attrib["points"].split()] == ["4.0", "252.0"]
    assert curve_svg(Curve((), (), (), None, 0)) == curve_html(Curve((), (), (), None, 0)) == ""
    assert curve_html(Curve(points, (), (), 0.9, 10)).count("dense 90.00\u202f%") == 2  # for ears, and for eyes


def test_heads_are_texts_and_the_first_cell_is_a_heading() -> None:
    assert "<th scope='col' style='text-align:left'>&lt;x&gt;</th>" in table_html(["<x>"], [])
    assert table_html(["", ""], [("a", "b")]).count("scope='row'") == 1


SVG = "{http://www.w3.org/2000/svg}"


def test_sizes_of_units_are_bars_now_and_a_line_at_first() -> None:
    svg = sizes_svg("fc<1>", (0,) * 29 + (4,), (3,) + (0,) * 28 + (1,))
    assert found(svg, f"{SVG}title")[0].text == "fc<1>: 3 of 4 units are near zero"
    (bars,), (line,), (edge,) = (found(svg, f"{SVG}path", look) for look in ("now", "first", "edge"))
    # heights are roots of the share: of 40, 0.75 is 34.6 high and 0.25 is 20
    assert bars.attrib["d"].count("M") == 2 and "v-34.6" in bars.attrib["d"] and "v-20.0" in bars.attrib["d"]
    assert line.attrib["d"].endswith("V0.0h8.5V40") and line.attrib["stroke"] == STAGES["dense"].hue
    assert edge.attrib["d"] == "M102.4 0V40"  # two of the five decades


def test_units_count_as_near_zero_where_the_line_stands() -> None:
    at = [0] * 30
    at[11] = at[12] = 1
    assert found(sizes_svg("a", at, at), f"{SVG}title")[0].text == "a: 1 of 2 units are near zero"
