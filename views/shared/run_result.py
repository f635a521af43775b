"""What a run came to: dense, pruned and tuned side by side, and the exported files once they are verified."""

from html import escape
from pathlib import Path

import streamlit as st

from pruning.errors import PruningError
from pruning.events import Event, Exported, Stage, Started, Verified
from pruning.execution.store.records import RunRow
from pruning.metric import ACCURACY, Metric
from pruning.recipe.controls import dense_control
from pruning.reporting.formatting import change_text, score_text
from pruning.reporting.plots_recovery import recovery_figure
from pruning.reporting.recovery import Recovery, recovery, recovery_rows
from pruning.reporting.run_summary import (
    STAGES,
    ClassChange,
    StageRow,
    metric_of_run,
    stage_rows,
    stages_of,
    worst_classes,
)
from views.shared.language import _
from views.shared.plain_text import plain
from views.shared.run_events import events_of, name_of, rows_of_recipes, summary_of

CSS = """<style>
.result { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
.result th, .result td { padding: 4px 10px; text-align: right; border-bottom: 1px solid #8884; white-space: nowrap; }
.result th:first-child, .result td:first-child { text-align: left; white-space: normal; }
.result th { font-weight: 600; }
.result .change { font-size: 12px; opacity: .8; display: block; }
.scroll { overflow-x: auto; }
.tall { max-height: 420px; overflow-y: auto; }
</style>"""
MIME = {
    "safetensors": "application/octet-stream",
    "pt": "application/octet-stream",
    "recipe": "application/json",
    "report": "text/html",
    "narrow_layers": "text/x-python",
}
LABELS = {"safetensors": ".safetensors", "pt": ".pt", "recipe": "recipe.json", "narrow_layers": "narrow_layers.py"}


def show(row: RunRow) -> None:
    """Nothing before the stages are measured."""
    draw(row.id, name_of(row), events_of(row), control=control_of(row))


def control_of(row: RunRow) -> Stage | None:
    """What the dense control of the run came to, where somebody has run it; None else."""
    try:
        name = dense_control(row.recipe).name
        found = next((run for run in rows_of_recipes([name]) if run.state == "finished"), None)
    except PruningError:  # there is no control of this recipe, or this version cannot read it
        return None
    return summary_of(found).tuned if found and found.name != row.name else None


def draw(run: str, name: str, events: list[Event], key: str = "download", control: Stage | None = None) -> None:
    """Side by side, the classes that lost most, downloads, the recovery; `key` begins the keys of their controls."""
    stages, metric = stages_of(events), metric_of_run(events)
    if "tuned" not in stages:
        return
    st.subheader(_("Result of run {name}").format(name=plain(name)))
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.html(CSS + stages_html(stages, metric))
        st.caption(
            _(
                "pruned: the whole amount at once, before any tuning. Scores are on the test split unless they say validation."
            )
        )
    with right:
        classes = next((event.classes for event in events if isinstance(event, Started)), ())
        _classes(worst_classes(stages["dense"], stages["tuned"], classes, 4, metric), metric)
        _downloads(run, events, metric, key)
    _recovery(recovery(stages, classes, metric, control), key)


def _recovery(found: Recovery, key: str) -> None:
    """What the cut cost and what brought it back, for all samples and for each class."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.subheader(_("Recovery"))
        alt = _("test {metric} from stage to stage: the numbers are in the table beside it")
        st.plotly_chart(
            recovery_figure(found), key=f"{key}_recovery", width="stretch", config={"displayModeBar": False},
            alt=alt.format(metric=_(found.metric.name)),
        )  # fmt: skip
    with right:
        st.html(CSS + recovery_html(found))
        words = [_("Test scores with 95 % intervals (Wilson 1927); classes that lost most stand first.")]
        if any(rung.name == "control" for rung in found.rungs):
            words.append(_("control: the dense network, trained as long."))
        st.caption(" ".join(words))


def recovery_html(found: Recovery) -> str:
    """The table: a column a stage, a row for all samples and for each class."""
    head = "".join(f"<th scope='col'>{escape(_(rung.name))}</th>" for rung in found.rungs)
    body = "".join(
        f"<tr><th scope='row'>{escape(_(row.name) if not place else row.name)}</th>"
        + "".join(f"<td>{escape(score)}<span class='change'>{escape(ends)}</span></td>" for score, ends in row.cells)
        + "</tr>"
        for place, row in enumerate(recovery_rows(found))
    )
    return f"<div class='scroll tall'><table class='result'><tr><th></th>{head}</tr>{body}</table></div>"


def stages_html(stages: dict[str, Stage], metric: Metric = ACCURACY) -> str:
    """The table: a column a stage, numbers right-aligned, changes signed."""
    names = [name for name in STAGES if name in stages]
    head = "".join(f"<th scope='col'>{escape(_(name))}</th>" for name in names)
    rows = "".join(_row(row) for row in stage_rows(stages, metric))
    return f"<div class='scroll'><table class='result'><tr><th></th>{head}</tr>{rows}</table></div>"


def _row(row: StageRow) -> str:
    cells = "".join(
        f"<td>{escape(cell.text)}<span class='change'>{escape(cell.change)}&nbsp;</span></td>" for cell in row.cells
    )
    return f"<tr><th scope='row'>{escape(_(row.label))}</th>{cells}</tr>"


def _classes(changes: list[ClassChange], metric: Metric) -> None:
    if not changes:
        return
    words = [f"{plain(change.name, 60)} {change_text(change.change, metric, 1)}" for change in changes]
    st.markdown(_("**Classes that lost most** (test, tuned against dense): {classes}").format(classes=", ".join(words)))


def _downloads(run: str, events: list[Event], metric: Metric, key: str) -> None:
    """Offered once the file was loaded in a fresh process and scored again; called verified only if the scores agree."""
    exported = next((event for event in reversed(events) if isinstance(event, Exported)), None)
    verified = next((event for event in reversed(events) if isinstance(event, Verified)), None)
    if exported is None:
        return
    scored = {} if verified is None else {
        "score": score_text(verified.score, metric), "again": score_text(verified.reloaded_score, metric)
    }  # fmt: skip
    if verified is None:
        st.error(_("Not verified: the exported file could not be scored again. The run's notes say why."))
    elif verified.same:
        st.success(
            _(
                "Verified: this network scores {score} here and {again} after loading the file in a fresh process (test split)."
            ).format(**scored)
        )
    else:
        scores = _(
            "Not verified: this network scores {score} here and {again} after loading the file in a fresh process."
        )
        st.error(scores.format(**scored))
        st.caption(_("The notes of the run say what differs: a score of either split, a file, or a tensor."))
    with st.container(horizontal=True):
        for kind, path in exported.artefacts.items():
            file = Path(path)
            if not file.is_file():
                st.caption(_("{name} is no longer there").format(name=plain(file.name, 80)))
                continue
            label = _("report") if kind == "report" else LABELS.get(kind, kind)
            # the lines that the report prints read and import these by their names
            by_name = kind in ("safetensors", "narrow_layers")
            name = file.name if by_name else f"{run}.recipe.json" if kind == "recipe" else f"{run}{file.suffix}"
            st.download_button(
                label, data=file.read_bytes, file_name=name,
                mime=MIME.get(kind), key=f"{key}_{kind}", on_click="ignore",
            )  # fmt: skip
