"""The page's chart holds the same points in the same looks as the library's figure."""

from pruning.reporting.palette import DASH_LENGTHS, LAYERS, STAGES
from pruning.reporting.plots_sensitivity import MOST_CURVES, CurvePoint, curves_figure
from views.sensitivity.curves import curves_spec

POINTS = [
    CurvePoint(f"layer {number}", level, 90.0 - level, 85.0 - level, 95.0 - level)
    for number in range(MOST_CURVES)
    for level in (0.0, 50.0)
]


def test_the_chart_and_the_figure_are_of_the_same_points_and_looks() -> None:
    made = curves_spec(POINTS, 0.9)
    _, _, lines, points = made["layer"]
    figure = {trace.name: trace for trace in curves_figure(POINTS, 0.9).data if trace.name}
    names = [f"layer {number}" for number in range(MOST_CURVES)]
    assert points["encoding"]["color"]["scale"] == {"domain": names, "range": [look.hue for look in LAYERS]}
    assert points["encoding"]["shape"]["scale"]["range"] == [figure[name].marker.symbol for name in names]
    dashes = lines["encoding"]["strokeDash"]["scale"]["range"]
    assert dashes == [DASH_LENGTHS[figure[name].line.dash] for name in names]
    rows = points["data"]["values"]
    for name in names:
        assert [row["score"] for row in rows if row["layer"] == name] == list(figure[name].y)
    rule = made["layer"][0]
    assert rule["mark"]["color"] == STAGES["dense"].hue == figure["dense"].line.color
