"""HTML and SVG for notebooks, without scripts and files: histograms with their cuts, tables, the map, a curve.

Text and axes have the colour of the page's text (`currentColor`), which can be read on a light and on a dark page; all
other colours are from the palette. The title of each picture says what it shows.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from pruning.events import NEAR_ZERO, SIZES_FROM, SIZES_TO, Stage
from pruning.interactive.responses import LayerView
from pruning.layer_sensitivity.result import Sensitivity, SensitivityCell
from pruning.metric import ACCURACY, Metric
from pruning.reporting.formatting import bare_change, bare_width, count, percent, score_text
from pruning.reporting.palette import CUT, DASH_LENGTHS, GREY, SERIES, STAGES, Style
from pruning.reporting.plots_sensitivity import shade, worst_drop
from pruning.reporting.run_summary import STAGES as STAGE_NAMES
from pruning.reporting.run_summary import Curve, stage_rows

WIDTH, HEIGHT, FOOT = 256, 44, 40
CURVE_HEIGHT = 120


def histogram_svg(view: LayerView) -> str:
    """A layer's histogram with its cuts as vertical lines. What is pruned is pale, with a dashed outline."""
    bins, highest = len(view.kept), max(1, int((view.kept + view.pruned).max()))
    width = WIDTH / max(bins, 1)
    kept, pruned = "", ""
    for position, (stays, goes) in enumerate(zip(view.kept.tolist(), view.pruned.tolist(), strict=True)):
        left, low, high = position * width, FOOT * stays / highest, FOOT * (stays + goes) / highest
        kept += _bar(left, FOOT, low, width) if stays else ""
        pruned += _bar(left, FOOT - low, high - low, width) if goes else ""
    lines = "".join(
        f"<line class='cut' x1='{at:.1f}' x2='{at:.1f}' y1='0' y2='{HEIGHT}' stroke='{CUT}' stroke-width='1.5'/>"
        for at in (WIDTH * (cut - view.low) / ((view.high - view.low) or 1.0) for cut in view.cuts)
        if 0 <= at <= WIDTH
    )
    dashed = f"fill='{CUT}' fill-opacity='.25' stroke='{CUT}' stroke-width='.6' stroke-dasharray='2 1'"
    return (
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}' role='img'>"
        f"<title>{escape(_cut_in_words(view))}</title>"
        f"<path class='kept' d='{kept}' fill='currentColor' opacity='.55'/><path class='pruned' d='{pruned}' {dashed}/>"
        f"<path d='M0 {FOOT}H{WIDTH}' stroke='currentColor' opacity='.3'/>{lines}</svg>"
    )


def sizes_svg(layer: str, first: Sequence[int], now: Sequence[int]) -> str:
    """How many units of a layer have which size: bars as it is now, a dashed line as it was at first.

    `first` and `now` count the bins of `events.UnitSizes`. A root of the height keeps what few units do in sight, once
    most are near zero. A line stands where near zero ends. All colours are the picture's own: it may be a file.
    """
    dense, units = STAGES["dense"], max(sum(now), 1)
    width = WIDTH / len(now)

    def high(count: int) -> float:
        return FOOT * math.sqrt(count / units)

    bars = "".join(_bar(place * width, FOOT, high(n), width) for place, n in enumerate(now) if n)
    outline = f"M0 {FOOT}" + "".join(f"V{FOOT - high(n):.1f}h{width:.1f}" for n in first) + f"V{FOOT}"
    dashes = " ".join(map(str, DASH_LENGTHS[dense.dash]))
    edge = WIDTH * math.log(NEAR_ZERO / SIZES_FROM) / math.log(SIZES_TO / SIZES_FROM)
    near = sum(now[: round(edge / width)])
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' preserveAspectRatio='none' role='img'>"
        f"<title>{escape(f'{layer}: {count(near)} of {count(units)} units are near zero')}</title>"
        f"<path class='now' d='{bars}' fill='{STAGES['tuned'].hue}' opacity='.75'/>"
        f"<path class='first' d='{outline}' fill='none' stroke='{dense.hue}' stroke-dasharray='{dashes}'/>"
        f"<path class='edge' d='M{edge:.1f} 0V{FOOT}' stroke='{GREY}' stroke-dasharray='2 2'/>"
        f"<path d='M0 {FOOT}H{WIDTH}' stroke='{GREY}'/></svg>"
    )


def layers_html(layers: Sequence[LayerView]) -> str:
    """A table of layers: histogram and share of units that are kept, or else why nothing of the layer can be pruned."""
    rows: list[Sequence[str]] = []
    for view in layers:
        stays = escape(view.why_not) if view.why_not else _kept_in_words(view)
        rows.append((f"<b>{escape(view.name)}</b>", "" if view.why_not else histogram_svg(view), stays))
    return table_html(("layer", "importance; pale and dashed: pruned", "kept"), rows)


def stages_html(stages: Mapping[str, Stage], metric: Metric = ACCURACY) -> str:
    """A table of the stages, with their changes from the dense network."""
    names = [name for name in STAGE_NAMES if name in stages]
    rows = [
        (escape(row.label), *(f"{escape(cell.text)}<br><small>{escape(cell.change)}</small>" for cell in row.cells))
        for row in stage_rows(stages, metric)
    ]
    return table_html(("", *names), rows)


def map_html(sensed: Sensitivity, cuts: Mapping[str, float]) -> str:
    """The sensitivity map: change of the score, by layer and level. `cuts`: layer -> the level to outline."""
    rows: list[Sequence[str]] = []
    worst = worst_drop(sensed)
    for row in sensed.rows:
        cells = [_cell(cell, worst, sensed.metric, cuts.get(row.name) == cell.level) for cell in row.cells]
        rows.append((f"<b>{escape(row.name)}</b>", *cells))
    return table_html(("layer, alone", *(percent(level, 0) for level in sensed.levels)), rows)


def curve_svg(curve: Curve) -> str:
    """Validation score over the steps of a run; a dashed line is the dense network. Empty before the first score."""
    if not curve.scores:
        return ""
    steps = max([curve.steps, 1, *(point.step for point in curve.scores)])
    known = [point.score for point in curve.scores] + ([curve.dense] if curve.dense is not None else [])
    low, high = min(known), max(known)
    span = (high - low) or 1.0

    def place(step: int, score: float) -> str:
        return f"{4 + (WIDTH - 8) * step / steps:.1f},{6 + (CURVE_HEIGHT - 12) * (high - score) / span:.1f}"

    drawn = _line([place(point.step, point.score) for point in curve.scores], SERIES["accuracy"])
    last, metric = curve.scores[-1], curve.metric
    title = f"validation {metric.name} {score_text(last.score, metric)} after {count(last.step)} steps"
    if curve.dense is not None:
        drawn += _line([place(0, curve.dense), place(steps, curve.dense)], STAGES["dense"])
        title += f", dense {score_text(curve.dense, metric)}"
    return (
        f"<svg viewBox='0 0 {WIDTH} {CURVE_HEIGHT}' width='{2 * WIDTH}' height='{2 * CURVE_HEIGHT}' role='img'>"
        f"<title>{escape(title)}</title>{drawn}</svg>"
    )


def curve_html(curve: Curve) -> str:
    """The curve, with its title as a line of text below it. Empty before the first score."""
    svg = curve_svg(curve)
    title = svg.partition("<title>")[2].partition("</title>")[0]
    return f"<figure style='margin:0'>{svg}<figcaption><small>{title}</small></figcaption></figure>" if svg else ""


def table_html(heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. `heads` are plain texts, cells are HTML; the first cell of a row is its heading."""
    top = "".join(f"<th scope='col' style='text-align:left'>{escape(head)}</th>" for head in heads)
    body = "".join(
        f"<tr><th scope='row' style='text-align:left;font-weight:400'>{first}</th>"
        + "".join(cell if cell.startswith("<td") else f"<td style='text-align:left'>{cell}</td>" for cell in others)
        + "</tr>"
        for first, *others in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _bar(left: float, foot: float, height: float, width: float) -> str:
    """A bar as part of an SVG path, with a gap to the next bar."""
    return f"M{left:.1f} {foot:.1f}v{-height:.1f}h{width - 0.6:.1f}v{height:.1f}z"


def _line(points: Sequence[str], style: Style) -> str:
    dashes = " ".join(map(str, DASH_LENGTHS[style.dash]))
    return (
        f"<polyline points='{' '.join(points)}' fill='none' stroke='{style.hue}' stroke-width='1.5' "
        f"stroke-dasharray='{dashes}'/>"
    )


def _cut_in_words(view: LayerView) -> str:
    return f"{view.name}: {count(view.pruned_units)} of {count(view.units)} units are pruned"


def _kept_in_words(view: LayerView) -> str:
    kept = view.units - view.pruned_units
    return f"{percent(kept / view.units if view.units else 1.0)}<br><small>{count(kept)} of {count(view.units)}</small>"


def _cell(cell: SensitivityCell, worst: float, metric: Metric, chosen: bool) -> str:
    seen = cell.estimate
    if not seen.samples:
        return "…"
    look = shade(metric.drop(seen.change), worst)
    outline = f"outline:3px solid {CUT};outline-offset:-2px;" if chosen else ""
    width = "" if seen.measured else f"<br><small>± {bare_width(seen.half_width, metric)}</small>"
    style = f"text-align:center;background-color:{look.ground};color:{look.ink};{outline}"
    return f"<td style='{style}'>{bare_change(seen.change, metric, half_width=seen.half_width)}{width}</td>"
