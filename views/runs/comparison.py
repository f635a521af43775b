"""Two runs or more side by side: curves, accuracy against size, what they came to, and the settings that differ."""

from html import escape

import plotly.graph_objects as go
import streamlit as st

from pruning.execution.store.records import RunRow
from pruning.metric import Metric
from pruning.reporting.formatting import change_text, count, duration, relative, score_label, score_text, si
from pruning.reporting.palette import RUN_MARKS, run_style
from pruning.reporting.plots_runs import Drawn, score_figure, score_size_figure
from pruning.reporting.run_history import (
    SIZES,
    Setting,
    Size,
    Summary,
    common_metric,
    differing,
    placed,
    plain_recipe,
    summary,
)
from pruning.reporting.run_summary import curve, stages_of
from views.shared.language import _
from views.shared.plain_text import plain
from views.shared.run_events import milestones_of, name_of, row_of

POLL_S = 1.0
SIZE_WORDS: dict[Size, str] = {
    "gzip_bytes": "size, gzipped",
    "bytes": "size of the file",
    "macs": "MACs per sample",
    "nonzero": "parameters that are not zero",
}
CSS = """<style>
.runs { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
.runs th, .runs td { padding: 4px 14px 4px 0; text-align: left; border-bottom: 1px solid #8884; vertical-align: top; font-weight: 400; }
.runs.beside td, .runs.beside thead th { text-align: right; white-space: nowrap; padding: 4px 0 4px 22px; }
.runs.beside thead th { font-weight: 600; white-space: normal; overflow-wrap: anywhere; min-width: 96px; vertical-align: bottom; }
.runs tbody th { opacity: .85; white-space: nowrap; }
.runs.beside tbody.part th[colspan] { font-size: 11px; letter-spacing: .05em; text-transform: uppercase; opacity: .8; padding-top: 12px; }
.runs.beside td.setting { white-space: normal; overflow-wrap: anywhere; min-width: 96px; max-width: 260px; }
.runs.swept th:first-child { padding-left: 0; }
.runs.swept td.words, .runs.swept thead th.words { text-align: left; }
.runs .change { font-size: 12px; opacity: .8; display: block; }
.scroll { overflow-x: auto; }
</style>"""


def show(rows: list[RunRow]) -> None:
    """Polled while one of them is live."""
    live = any(not row.over for row in rows)
    st.fragment(_show, run_every=POLL_S if live else None, key="runs_comparison")(rows, live)


def _show(drawn_rows: list[RunRow], was_live: bool) -> None:
    rows = [row_of(row.id) or row for row in drawn_rows]
    if was_live and all(row.over for row in rows):
        st.rerun()
    events = {row.id: milestones_of(row) for row in rows}
    found = [summary(events[row.id]) for row in rows]
    metric = common_metric(found)
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.subheader(_("{n} runs compared").format(n=len(rows)), width="content")
        label = _("score against") if metric is None else _("{metric} against").format(metric=_(metric.name))
        size: Size = st.selectbox(
            label, list(SIZES), key="runs_size", format_func=lambda size: _(SIZE_WORDS[size]), width=240
        )
    if metric is None:
        names = ", ".join(dict.fromkeys(each.metric.name for each in found if each.dense is not None))
        st.info(
            _("These runs are scored by different metrics ({names}): they are not drawn in one chart.").format(
                names=plain(names)
            )
        )
    else:
        drawn = [Drawn(name_of(row), curve(events[row.id]), placed(stages_of(events[row.id]), size)) for row in rows]
        _charts(drawn, size, metric)
    st.html(CSS + comparison_html(rows, found))


def _charts(drawn: list[Drawn], size: Size, metric: Metric) -> None:
    names = {"metric": _(metric.name), "names": ", ".join(run.name for run in drawn)}
    left, right = st.columns(2, gap="large")
    with left:
        words = _("validation {metric} over optimiser steps of {names}")
        _chart(score_figure(drawn, metric), "runs_curves", words.format(**names))
    with right:
        words = _("test {metric} against size of {names}")
        _chart(score_size_figure(drawn, size, metric), "runs_sizes", words.format(**names))


def _chart(figure: go.Figure, key: str, words: str) -> None:
    alt = words + _(": the numbers are in the table below")
    st.plotly_chart(figure, key=key, width="stretch", config={"displayModeBar": False}, alt=alt)


def comparison_html(rows: list[RunRow], found: list[Summary]) -> str:
    """A column a run, marked as in the charts: what it came to, then the settings that differ."""
    heads = "".join(_head(place, row) for place, row in enumerate(rows))
    results = "".join(_line(name, cells) for name, cells in _results(rows, found))
    settings = differing([plain_recipe(row.recipe_json) for row in rows])
    apart = "".join(_setting(setting) for setting in settings)
    same = f"<tr><td colspan='{len(rows) + 1}' style='text-align:left'>{escape(_('none: the same recipe'))}</td></tr>"
    parts = _part(_("result"), len(rows), results) + _part(_("settings that differ"), len(rows), apart or same)
    return (
        f"<div class='scroll'><table class='runs beside'><thead><tr><td></td>{heads}</tr></thead>{parts}</table></div>"
    )


def _head(place: int, row: RunRow) -> str:
    style = run_style(place)
    mark = f"<span style='color:{style.hue}' aria-hidden='true'>{RUN_MARKS[style.mark]}</span>"
    return f"<th scope='col'>{mark} {escape(name_of(row))}</th>"


def _part(title: str, columns: int, lines: str) -> str:
    head = f"<tr><th scope='rowgroup' colspan='{columns + 1}'>{escape(title)}</th></tr>"
    return f"<tbody class='part'>{head}{lines}</tbody>"


def _line(name: str, cells: list[tuple[str, str]], kind: str = "") -> str:
    of_kind = f" class='{kind}'" if kind else ""
    written = "".join(
        f"<td{of_kind}>{escape(text)}{f'<span class=change>{escape(change)}</span>' if change else ''}</td>"
        for text, change in cells
    )
    return f"<tr><th scope='row'>{escape(name)}</th>{written}</tr>"


def _setting(setting: Setting) -> str:
    return _line(setting.name, [("–" if value is None else value, "") for value in setting.values], "setting")


def _results(rows: list[RunRow], found: list[Summary]) -> list[tuple[str, list[tuple[str, str]]]]:
    metric = common_metric(found)
    return [
        (_("state"), [(_(row.state), "") for row in rows]),
        (_label(metric, "test"), [_score(each, metric is None) for each in found]),
        (_label(metric, "validation"), [_validation(each, metric is None) for each in found]),
        *((_(SIZE_WORDS[size]), [_size(each, size) for each in found]) for size in SIZES),
        (_("exported file"), [(_verified(each), "") for each in found]),
        (_("duration"), [(_took(row), "") for row in rows]),
    ]


def _label(metric: Metric | None, split: str) -> str:
    """Of runs of several metrics each score says its own."""
    return _("score, {split}").format(split=_(split)) if metric is None else _(score_label(metric, split))


def _score(found: Summary, named: bool) -> tuple[str, str]:
    if found.dense is None or found.tuned is None:
        return "–", ""
    return _written(found.metric, found.dense.score, found.tuned.score, named)


def _validation(found: Summary, named: bool) -> tuple[str, str]:
    if found.dense is None or found.tuned is None:
        return "–", ""
    return _written(found.metric, found.dense.validation, found.tuned.validation, named)


def _written(metric: Metric, before: float, after: float, named: bool) -> tuple[str, str]:
    return (f"{metric.name} " if named else "") + score_text(after, metric), change_text(after - before, metric)


def _size(found: Summary, size: Size) -> tuple[str, str]:
    if found.dense is None or found.tuned is None:
        return "–", ""
    before, after = SIZES[size](found.dense), SIZES[size](found.tuned)
    text = si(after, "B") if size in ("bytes", "gzip_bytes") else count(after) if size == "nonzero" else si(after)
    return text, relative(before, after)


def _verified(found: Summary) -> str:
    return {None: "–", True: _("verified"), False: _("not verified")}[found.verified]


def _took(row: RunRow) -> str:
    return duration(row.seconds) if row.finished and row.started else "–"
