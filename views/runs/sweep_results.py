"""An experiment: how far it is, its table with intervals over seeds, its figures, and the files to take home."""

from collections.abc import Callable, Collection, Sequence
from html import escape

import streamlit as st

from pruning.errors import PruningError, printable
from pruning.execution.store.records import SweepRow
from pruning.execution.sweep_progress import PlannedRun, counts, left_s, planned_runs, trials
from pruning.reporting.formatting import duration
from pruning.reporting.literature import HEADS, Published, published_beside, published_rows
from pruning.reporting.plots_sweep import parallel_figure, tradeoff_figure
from pruning.reporting.run_history import SIZES, Size
from pruning.reporting.sweep_files import FILES, Results
from pruning.reporting.sweep_table import heads, rows, seeds_of
from pruning.reporting.tradeoff import tradeoff
from pruning.sweeps.grid import grid_from_json
from views.runs.comparison import CSS, SIZE_WORDS
from views.runs.grid_form import expansion
from views.runs.title_box import title_box
from views.shared.changes import changes
from views.shared.language import _
from views.shared.person import not_yours, person
from views.shared.plain_text import plain
from views.shared.run_events import milestones_of, rows_of_recipes
from views.shared.server import backend

POLL_S = 2.0
MOST_SENTENCES = 8
MIME = {
    "csv": "text/csv", "tex": "application/x-tex", "png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf",
}  # fmt: skip
CAMERA = {
    "displaylogo": False,
    "toImageButtonOptions": {"format": "svg", "filename": "experiment"},
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}
"""The figures can be taken from the page as they are: zoomed, and with some series hidden."""


def show(sweep: SweepRow) -> None:
    """Polled while one of its runs is live."""
    _heading(sweep)
    try:
        expansion(sweep.grid_json)
    except PruningError as error:
        st.error(plain(unreadable(error)))
        return
    live = any(run.standing in ("queued", "running") for run in _runs(sweep))
    st.fragment(_show, run_every=POLL_S if live else None, key="runs_sweep_results")(sweep, live)


def unreadable(error: PruningError) -> str:
    """What stands in the place of an experiment that this version cannot read."""
    words = _("made by a newer version, or damaged: {sentence}. Its runs are in the list of all runs.")
    return words.format(sentence=str(error).rstrip("."))


def _show(sweep: SweepRow, was_live: bool) -> None:
    runs = _runs(sweep)
    if was_live and not any(run.standing in ("queued", "running") for run in runs):
        st.rerun()
    _progress(sweep, runs)
    results = Results(trials(runs, milestones_of))
    if not results.trials:
        st.info(_("No run of this experiment is finished yet: the table and the figures come with the first."))
        return
    draw(results, printable(sweep.title, 80) or sweep.name, "sweep")


def draw(results: Results, name: str, key: str) -> None:
    """The table, the figures and the files; `name` begins the files' names, `key` the controls' keys."""
    st.html(CSS + table_html(heads(results.table), rows(results.table), range(1 + len(results.table.columns))))
    st.caption(_(seeds_of(results.table)))
    with st.expander(_("What all runs have in common")):
        st.html(CSS + table_html([_("setting"), _("value")], [list(pair) for pair in results.table.same], (0, 1)))
    _figures(results, key)
    _downloads(results, name, key)


def _runs(sweep: SweepRow) -> list[PlannedRun]:
    runs = expansion(sweep.grid_json).runs
    return planned_runs(runs, rows_of_recipes([run.recipe.name for run in runs]))


def _heading(sweep: SweepRow) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        why = not_yours(sweep.session)
        title_box(sweep.name, sweep.title, changes().rename_sweep, why)
        words = why or _("Takes the experiment from the list. Its runs stay, and the same grid finds them again.")
        if st.button(_("Take it off the list"), key="sweep_forget", help=words, disabled=bool(why)):
            _do(lambda: changes().forget_sweep(sweep.name))


def _progress(sweep: SweepRow, runs: Sequence[PlannedRun]) -> None:
    """How many runs stand how, a bar, and what can be done about those that wait or are missing."""
    found = counts(runs)
    words = ", ".join(f"{number} {_(standing)}" for standing, number in found.items() if number)
    over = sum(run.row is not None and run.row.over for run in runs)
    text = _("{n} runs: {words}").format(n=len(runs), words=words)
    if over < len(runs) and (seconds := left_s(runs, backend().store.limits.run_workers)):
        text += _(", about {time} left, if nobody else's runs come between").format(time=duration(seconds))
    st.progress(over / len(runs), text)
    again = found["failed"] + found["stopped"] + found["missing"]
    with st.container(horizontal=True):
        if again and st.button(_("Queue the {n} that are missing").format(n=again), key="sweep_again"):
            _do(lambda: backend().start_sweep(grid_from_json(sweep.grid_json), person()))
        waiting = [
            run.row.id
            for run in runs
            if run.row is not None and run.standing == "queued" and not not_yours(run.row.session)
        ]
        words = _("The run that is going on goes on, and so do other people's; what waits can be queued again later.")
        if waiting and st.button(_("Take {n} out of the queue").format(n=len(waiting)), key="sweep_stop", help=words):
            _do(lambda: [changes().cancel(run) for run in waiting])
    failed = [run.row for run in runs if run.row is not None and run.standing == "failed"]
    for row in failed[:MOST_SENTENCES]:
        st.caption(_("{run} failed: {sentence}").format(run=row.id, sentence=plain(row.sentence)))
    if len(failed) > MOST_SENTENCES:
        st.caption(_("and {n} more, in the list of runs").format(n=len(failed) - MOST_SENTENCES))


def _do(what: Callable[[], object]) -> None:
    try:
        what()
    except PruningError as error:
        st.error(plain(error))
    else:
        st.rerun()


def table_html(names: Sequence[str], lines: Sequence[Sequence[str]], words: Collection[int]) -> str:
    """A table. The columns at the places `words` are of words; all others are numbers, and right-aligned."""
    head = "".join(
        f"<th scope='col'{' class=words' if place in words else ''}>{escape(_(name))}</th>"
        for place, name in enumerate(names)
    )
    body = "".join(
        "<tr>"
        + f"<th scope='row'>{escape(_(first))}</th>"
        + "".join(
            f"<td{' class=words' if place in words else ''}>{escape(cell)}</td>" for place, cell in enumerate(cells, 1)
        )
        + "</tr>"
        for first, *cells in lines
    )
    return f"<div class='scroll'><table class='runs beside swept'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _figures(results: Results, key: str) -> None:
    metric = results.table.metric
    if metric is None:
        st.info(_("These runs are scored by different metrics: they are not drawn in one chart."))
        return
    beside = published_beside(results.trials)
    left, right = st.columns(2, gap="large")
    with left:
        size: Size = st.selectbox(
            _("compression of"), ["nonzero", *(size for size in SIZES if size != "nonzero")], key=f"{key}_size",
            format_func=lambda size: _(SIZE_WORDS[size]), width=260,
        )  # fmt: skip
        figure = tradeoff_figure(tradeoff(results.table, size), size, metric, beside)
        alt = _("test {metric} against compression: the numbers are in the table above").format(metric=_(metric.name))
        st.plotly_chart(figure, key=f"{key}_tradeoff", width="stretch", config=CAMERA, alt=alt)
    with right:
        st.caption(_("A line for each run: drag along an axis to keep some of them in sight."))
        alt = _("a line for each run through its settings, compression and score: the numbers are in runs.csv")
        st.plotly_chart(
            parallel_figure(results.trials, metric), key=f"{key}_parallel", width="stretch", config=CAMERA, alt=alt
        )
    _published(beside)


def _published(beside: Sequence[Published]) -> None:
    if beside:
        st.caption(_("Published results on this network and these data, as their sources report them:"))
        st.html(CSS + table_html(HEADS, published_rows(beside), (0, len(HEADS) - 1)))


def _downloads(results: Results, name: str, key: str) -> None:
    """Each file is made when it is asked for."""
    with st.container(horizontal=True):
        for file, content in FILES.items():
            st.download_button(
                _(file), data=lambda content=content: content(results), file_name=f"{name}-{file}",
                mime=MIME.get(file.rpartition(".")[2]), key=f"{key}_{file}", on_click="ignore",
            )  # fmt: skip
    words = _(
        "table: means and intervals, a row for each setting; runs: every run, with its settings; tradeoff: score against compression."
    )
    st.caption(words)
