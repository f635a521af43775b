"""Two runs or more side by side: curves, accuracy against size, what they came to, and the settings that differ."""

from html import escape

import plotly.graph_objects as go
import streamlit as st

from pruning.execution.store.records import RunRow
from pruning.reporting.formatting import count, duration, percent, points, relative, si
from pruning.reporting.palette import RUN_MARKS, run_style
from pruning.reporting.plots_runs import Drawn, accuracy_figure, accuracy_size_figure
from pruning.reporting.run_history import SIZES, Setting, Size, Summary, differing, placed, plain_recipe, summary
from pruning.reporting.run_summary import curve, stages_of
from views.shared.language import _
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
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.subheader(_("{n} runs compared").format(n=len(rows)), width="content")
        size: Size = st.selectbox(
            _("accuracy against"), list(SIZES), key="runs_size", format_func=lambda size: _(SIZE_WORDS[size]), width=240
        )
    events = {row.id: milestones_of(row) for row in rows}
    names = [name_of(row) for row in rows]
    drawn = [Drawn(name_of(row), curve(events[row.id]), placed(stages_of(events[row.id]), size)) for row in rows]
    left, right = st.columns(2, gap="large")
    with left:
        _chart(accuracy_figure(drawn), "runs_curves", _("validation accuracy over optimiser steps of {names}"), names)
    with right:
        _chart(accuracy_size_figure(drawn, size), "runs_sizes", _("test accuracy against size of {names}"), names)
    found = [summary(events[row.id]) for row in rows]
    st.html(CSS + comparison_html(rows, found))


def _chart(figure: go.Figure, key: str, words: str, names: list[str]) -> None:
    alt = words.format(names=", ".join(names)) + _(": the numbers are in the table below")
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
    return [
        (_("state"), [(_(row.state), "") for row in rows]),
        (_("accuracy, test"), [_accuracy(each) for each in found]),
        (_("accuracy, validation"), [_validation(each) for each in found]),
        *((_(SIZE_WORDS[size]), [_size(each, size) for each in found]) for size in SIZES),
        (_("exported file"), [(_verified(each), "") for each in found]),
        (_("duration"), [(_took(row), "") for row in rows]),
    ]


def _accuracy(found: Summary) -> tuple[str, str]:
    if found.tuned is None or found.change is None:
        return "–", ""
    return percent(found.tuned.score, 2), points(found.change)


def _validation(found: Summary) -> tuple[str, str]:
    if found.dense is None or found.tuned is None:
        return "–", ""
    return percent(found.tuned.validation, 2), points(found.tuned.validation - found.dense.validation)


def _size(found: Summary, size: Size) -> tuple[str, str]:
    if found.dense is None or found.tuned is None:
        return "–", ""
    before, after = SIZES[size](found.dense), SIZES[size](found.tuned)
    text = si(after, "B") if size in ("bytes", "gzip_bytes") else count(after) if size == "nonzero" else si(after)
    return text, relative(before, after)


def _verified(found: Summary) -> str:
    return {None: "–", True: _("verified"), False: _("not verified")}[found.verified]


def _took(row: RunRow) -> str:
    return duration(row.finished - row.started) if row.finished and row.started else "–"
