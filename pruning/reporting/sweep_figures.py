"""The figure of a sweep for a paper or a slide: score against compression as PNG, SVG or PDF, by Matplotlib."""

import io
from collections.abc import Sequence
from typing import Any, Literal

from pruning.errors import ExportError
from pruning.metric import ACCURACY, Metric
from pruning.reporting.formatting import axis_title, on_axis
from pruning.reporting.literature import Published
from pruning.reporting.palette import DARK_INK, GREY, LIGHT_INK, SERIES, STAGES
from pruning.reporting.plots_sweep import DENSE, PUBLISHED, TICKS, as_point, score_ends, style_of
from pruning.reporting.run_history import Size
from pruning.reporting.tradeoff import COMPRESSIONS, TradeoffPoint, series_of

Format = Literal["png", "svg", "pdf"]
FORMATS: tuple[Format, ...] = ("png", "svg", "pdf")
INCHES = (6.4, 4.2)
DOTS_PER_INCH = 200

MARKS = {
    "circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "triangle-down": "v", "star": "*", "cross": "P",
}  # fmt: skip
"""The palette's name of a mark -> Matplotlib's."""


def tradeoff_picture(
    points: Sequence[TradeoffPoint],
    format: Format,
    size: Size = "nonzero",
    metric: Metric = ACCURACY,
    published: Sequence[Published] = (),
) -> bytes:
    """What `tradeoff_figure` draws, as a file of the format: black on white, text of an SVG as text.

    Raises:
        ExportError: Matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure  # not pyplot, which keeps figures and looks for a screen
    except ImportError as error:
        raise ExportError("a picture needs matplotlib; run pip install 'pruning-explorer[app]'") from error
    with mpl.rc_context({"svg.fonttype": "none", "font.size": 9, "svg.hashsalt": "sweep"}):
        figure = Figure(figsize=INCHES, layout="constrained", facecolor=LIGHT_INK)
        axes: Any = figure.add_subplot()
        best = sorted((point for point in points if point.front), key=lambda point: point.compression)
        if len(best) > 1:
            front = [on_axis(point.score.value, metric) for point in best]
            hue = SERIES["interval"].hue
            axes.plot([point.compression for point in best], front, color=hue, linewidth=1, label="Pareto front")
        for place, series in enumerate(series_of(points)):
            style = style_of(series, place)
            of_series = [point for point in points if point.series == series]
            if series == DENSE:
                for number, point in enumerate(of_series):
                    label, hue = "" if number else DENSE, STAGES["dense"].hue
                    axes.axhline(
                        on_axis(point.score.value, metric), color=hue, linestyle="--", linewidth=1, label=label
                    )
                continue
            axes.errorbar(
                [point.compression for point in of_series],
                [on_axis(point.score.value, metric) for point in of_series],
                yerr=[on_axis(point.score.half_width or 0.0, metric) for point in of_series],
                fmt=MARKS[style.mark], color=style.hue, capsize=2, markersize=5, linewidth=1, label=series,
            )  # fmt: skip
        beside = published if size == "nonzero" else ()
        if beside:
            axes.plot(
                [result.compression for result in beside],
                [on_axis(result.score, metric) for result in beside],
                MARKS[PUBLISHED.mark], markerfacecolor="none", color=PUBLISHED.hue, label="published",
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xticks(TICKS)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        places = [*(point.compression for point in points), *(result.compression for result in beside)]
        axes.set_xlim(0.9 * min(places), 1.1 * max(places))
        axes.set_xlabel(f"compression: {COMPRESSIONS[size]}", color=DARK_INK)
        axes.set_ylabel(axis_title(metric, "test"), color=DARK_INK)
        axes.set_ylim(score_ends([*points, *map(as_point, beside)], metric))
        axes.grid(color=GREY, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        file = io.BytesIO()
        # without a date, equal sweeps give equal files
        metadata = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[format]
        figure.savefig(file, format=format, dpi=DOTS_PER_INCH, metadata=metadata)
    return file.getvalue()
