"""A run as several pages show it: how far it is, its curves, and Stop. A worker carries it out; the page only reads its events."""

import streamlit as st

from pruning.errors import PruningError
from pruning.events import Event, Failed, Finished, Resumed, Verified, Warned
from pruning.execution.store.records import RunRow
from pruning.reporting.formatting import duration, percent, score_text
from pruning.reporting.run_progress import progress
from pruning.reporting.run_summary import (
    Curve,
    amount_found,
    amount_words,
    curve,
    metric_of_run,
    unit_sizes_of,
)
from views.shared import unit_sizes
from views.shared.changes import changes
from views.shared.language import _
from views.shared.person import not_yours
from views.shared.plain_text import plain
from views.shared.run_curves import curves_spec
from views.shared.run_events import events_of, name_of, row_of
from views.shared.run_queue import waiting
from views.shared.run_sharing import goes_on_for_others, shared_with
from views.shared.server import backend

POLL_S = 0.5


def shown() -> RunRow | None:
    """The run that the URL names: F5 finds it again."""
    run = st.query_params.get("run")
    return None if run is None else row_of(run)


def show() -> None:
    """The panel, polling only while the run is live; when it ends the whole page is drawn once more, with the result."""
    row = shown()
    live = row is not None and not row.over
    st.fragment(_panel, run_every=POLL_S if live else None, key="run_panel")(live)


def _panel(was_live: bool) -> None:
    row = shown()
    if row is None:
        st.subheader(_("Run"))
        st.caption(
            _(
                "No run yet. Run carries out the recipe on the left: it prunes in rounds, tunes after each, and measures."
            )
        )
        return
    events = events_of(row)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(_("Run {name}").format(name=plain(name_of(row))))
        if not row.over:
            _stop(row)
    if words := shared_with(row):
        st.caption(words)
    draw(row, events, waiting(row) if row.state == "queued" else "")
    if was_live and row.over:
        st.rerun()


def draw(row: RunRow, events: list[Event], place: str, key: str = "run_curves") -> None:
    """How far the run is, its curves, and its notes. `place` says where a queued run is in the queue."""
    _where(row, events, place)
    if (found := amount_found(events)) is not None:
        words = amount_words(found, metric_of_run(events))
        st.caption(_("amount found: {words}").format(words=words))
    _curves(curve(events), key)
    unit_sizes.draw(unit_sizes_of(events), key)
    # each once: a thousand events that cannot be read say the same
    for note in dict.fromkeys(event for event in events if isinstance(event, Resumed | Warned)):
        if isinstance(note, Warned):
            st.caption(_("note: {sentence}").format(sentence=plain(note.sentence)))
        else:
            words = _("note: resumed at round {round}, step {step}, from the last checkpoint")
            st.caption(words.format(round=note.round + 1, step=note.step))


def _stop(row: RunRow) -> None:
    """Stop, and once it was pressed a way to end the run at once."""
    try:
        with st.container(horizontal=True, width="content"):
            # beside Stop and not in its place: a second click shall not end what the first one wants to keep
            why = not_yours(row.session)
            words = why or _("Does not wait for the measurement: the run ends within 5 s, without a result.")
            if row.stopping and st.button(_("End now"), key="end_button", help=words, disabled=bool(why)):
                changes().end(row.id)
            words = why or _("Ends after the current step and keeps what there is.")
            if not why and goes_on_for_others(row):
                words = _("Ends it for you, with what there is; it goes on for the others who asked for the same.")
            off = row.stopping or bool(why)
            if st.button(_("Stop"), shortcut="Esc", key="stop_button", help=words, disabled=off):
                changes().cancel(row.id)
    except PruningError as error:
        st.error(plain(error))


def _where(row: RunRow, events: list[Event], place: str) -> None:
    """One line and a bar: how far the run is, or how it ended."""
    if row.state == "failed":
        sentence = next((event.sentence for event in reversed(events) if isinstance(event, Failed)), row.sentence)
        st.error(_("failed: {sentence}").format(sentence=plain(sentence)))
        return
    if row.state == "queued":
        st.progress(0.0, place)
        return
    if row.state == "stopped" and row.started is None:
        st.caption(_("stopped while it was waiting: there is no result"))
        return
    elapsed = row.seconds
    at = progress(events, elapsed)
    # a resumed run says at its end how long all its attempts took
    elapsed = next((event.seconds for event in reversed(events) if isinstance(event, Finished)), elapsed)
    if row.state == "running" and (why := backend().store.paused(row)):
        text = _("paused: {why}").format(why=why)
    elif row.state == "running" and row.stopping:
        text = _("stopping: measuring what there is")
    elif row.state == "running":
        left = (
            _("{time} left").format(time=duration(at.seconds_left)) if at.seconds_left is not None else _("measuring")
        )
        text = f"{at.phase}, {left}"
    elif row.state == "stopped":
        kept = plain(row.sentence) or _("the partial result is kept")
        text = _("stopped after {time}; {kept}").format(time=duration(elapsed), kept=kept)
    else:
        verified = next((event for event in reversed(events) if isinstance(event, Verified)), None)
        check = (
            ""
            if verified is None
            else _(", the exported file scores {score}").format(
                score=score_text(verified.reloaded_score, metric_of_run(events))
            )
        )
        text = _("finished in {time}{check}").format(time=duration(elapsed), check=check)
    st.progress(min(at.fraction, 1.0) if row.state == "running" else 1.0, text)


def _curves(points: Curve, key: str) -> None:
    """Score and sparsity above, loss below, over optimiser steps, in the looks of the report."""
    if not points.scores:
        return
    last, metric = points.scores[-1], points.metric
    words = _("curves: validation {metric} {score}, sparsity {share} after {step} steps")
    score = score_text(last.score, metric, 1)
    text = words.format(metric=_(metric.name), score=score, share=percent(last.sparsity), step=last.step)
    st.vega_lite_chart(spec=curves_spec(points), key=key, alt=text, width="stretch")
