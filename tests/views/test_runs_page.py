"""The page Runs: find a run, see it, name it, pin it, delete it, reopen it in the Lab, compare several."""

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pruning.events import (
    Event,
    Failed,
    Finished,
    Masked,
    Measured,
    Resumed,
    Stage,
    StageMeasured,
    Started,
    TuningStep,
)
from pruning.execution.store.records import RunRow, RunState
from pruning.recipe.controls import dense_control
from pruning.recipe.recipe import Recipe, from_json
from pruning.selection.amounts import Sparsity
from pruning.training.tuning import Tuning
from tests.views.conftest import InProcess
from tests.views.test_lab_page import QUICK
from views.runs.state import RunsState
from views.runs.table import table_data
from views.shared import run_queue
from views.shared.moments import when

OTHER = replace(QUICK, amount=Sparsity(0.9), tuning=Tuning(epochs=2, images_per_epoch=512))
DENSE = Stage(0.9, 0.85, 1000, 100, 100, 5000, 2000, 1000)
TUNED = Stage(0.875, 0.8, 1000, 100, 20, 5000, 2000, 400)
BEGUN: list[Event] = [
    Started("mlp_128", "cpu", 1, 20, ()),
    StageMeasured("dense", DENSE),
    StageMeasured("pruned", TUNED),
    Masked(0, 1.0, 80, 80, 100, {"fc1": 0.2}),
    Measured(0, 0, "validation", 0.5, 0.8),
    TuningStep(0, 0, 10, 1.0),
]
DONE: list[Event] = [*BEGUN, Measured(0, 20, "validation", 0.75, 0.8), StageMeasured("tuned", TUNED)]


def made(
    backend: InProcess, recipe: Recipe, events: list[Event], end: Finished | Failed | None, session: str = "x"
) -> str:
    """A run of the store that has said this much."""
    run = backend.start(recipe, "x", again=True)
    backend.store.leases.append(backend.leases[run], *events)
    if end is not None:
        backend.store.leases.finish(backend.leases[run], end)
    return run


def finished(backend: InProcess, recipe: Recipe = QUICK) -> str:
    return made(backend, recipe, DONE, Finished(False, 2.0))


def opened(app: AppTest, *selected: str) -> AppTest:
    app.switch_page("views/runs/runs.py")
    if selected:
        app.session_state["RunsState"] = RunsState(selected=list(selected))
    app.run()
    return clean(app)


def clean(app: AppTest) -> AppTest:
    assert not app.exception
    return app


def sent(app: AppTest) -> list[dict[str, Any]]:
    """What each component on the page is given."""
    found = [getattr(getattr(element, "proto", None), "json", "") for element in app.main]
    return [data for text in found if '"texts"' in text for data in json.loads(text)]


def listed(app: AppTest) -> list[dict[str, Any]]:
    """The rows as the list's component is given them."""
    return next((data["rows"] for data in sent(app) if "selected" in data), [])


def html(app: AppTest) -> str:
    return "".join(element.proto.body for element in app.get("html"))


def said(app: AppTest) -> str:
    every = (*app.caption, *app.info, *app.error, *app.markdown, *app.subheader)
    return "\n".join(element.value for element in every)


def test_without_runs_the_page_says_where_they_come_from(app: AppTest, backend: InProcess) -> None:
    opened(app)
    assert "No run yet" in app.info[0].value


def test_the_url_names_the_run_that_is_selected(app: AppTest, backend: InProcess) -> None:
    run = finished(backend)
    finished(backend, OTHER)
    app.query_params["run"] = run
    opened(app)
    assert f"Run {run}" in said(app) and f"Result of run {run}" in said(app)
    assert "class='result'" in html(app)


def test_a_row_says_in_words_what_became_of_the_run(app: AppTest, backend: InProcess) -> None:
    ok = backend.store.run(finished(backend))
    bad = backend.store.run(made(backend, OTHER, BEGUN, Failed("worker lost")))
    good, failed = table_data([ok, bad], [ok.id])["rows"]
    assert (good["word"], failed["word"]) == ("finished", "failed")
    recipe, repair, tuning, seed, accuracy, size, macs, *_ = good["cells"]
    assert recipe == ("mlp_128 · sparsity 60.0\u202f%", "weights by magnitude, layer")
    assert (repair, tuning, seed) == (("none", ""), ("1 epoch", "one shot, adamw"), ("0", ""))
    assert accuracy == ("90.0 → 87.5\u202f%", "\u22122.50\u202fpoints")
    assert size == ("1.00\u202fkB → 400\u202fB", "\u221260.0\u202f%")
    assert macs[1] == "±0\u202f%"
    assert failed["cells"][4] == ("90.0 → …", "")


def test_search_states_and_only_mine_narrow_the_list(app: AppTest, backend: InProcess) -> None:
    one, two = finished(backend), made(backend, OTHER, BEGUN, Failed("no"))
    backend.store.rename(one, "the good one")
    opened(app)
    app.text_input(key="runs_search").set_value("GOOD mlp").run()
    assert [row["id"] for row in listed(app)] == [one]
    app.text_input(key="runs_search").set_value("").run()
    app.button_group(key="runs_states").set_value("ended early").run()
    assert [row["id"] for row in listed(app)] == [two]
    app.button_group(key="runs_states").set_value("all").run()
    app.checkbox(key="runs_mine").set_value(True).run()
    assert clean(app).info[0].value.startswith("No run matches")


def test_a_title_is_given_in_place_and_taken_back(app: AppTest, backend: InProcess) -> None:
    run = finished(backend)
    opened(app, run)
    app.text_input(key=f"title_{run}").set_value("  half the weights ").run()
    assert backend.store.run(run).title == "half the weights"
    assert "Run half the weights" in said(clean(app))
    backend.store.rename(run, "from another tab")
    app.run()
    assert app.text_input(key=f"title_{run}").value == "from another tab"
    app.text_input(key=f"title_{run}").set_value("").run()
    assert backend.store.run(run).title == "" and f"Run {run}" in said(app)


def test_a_pinned_run_stands_first_until_it_is_unpinned(app: AppTest, backend: InProcess) -> None:
    old, new = finished(backend), finished(backend, OTHER)
    opened(app, old)
    app.button(key="pin").click().run()
    assert [row.id for row in backend.store.runs()] == [old, new]
    assert app.button(key="pin").label == "Unpin"
    app.button(key="pin").click().run()
    assert [row.id for row in backend.store.runs()] == [new, old]


def test_the_list_reads_only_what_it_draws(app: AppTest, backend: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """With thousands of runs a page that reads them all takes most of a second, and a live one does so each second."""
    runs = [finished(backend, replace(QUICK, seed=seed)) for seed in range(3)]
    made(backend, OTHER, BEGUN, None)
    read: list[list[str]] = []
    rows, all_runs = backend.store.list.rows, backend.store.runs

    def noted(found: Sequence[str]) -> list[RunRow]:
        read.append([*found])
        return rows(found)

    monkeypatch.setattr(backend.store.list, "rows", noted)

    def live_or_finished(states: tuple[RunState, ...] = ()) -> list[RunRow]:
        assert states, "the page has read all runs"
        return all_runs(states)

    monkeypatch.setattr(backend.store, "runs", live_or_finished)
    app.session_state["RunsState"] = RunsState(most=2)
    app.switch_page("views/runs/runs.py")
    clean(app.run())
    assert read and all(len(found) == 2 for found in read) and read[0][1] == runs[-1]
    assert "3&ensp;finished" in html(app) and "1&ensp;running" in html(app)
    assert "show 2 more" in [button.label for button in app.button]


def test_delete_asks_once_more_and_then_no_page_shows_the_run(app: AppTest, backend: InProcess) -> None:
    run, other = finished(backend), finished(backend, OTHER)
    app.query_params["run"] = run
    opened(app)
    app.button(key="delete").click().run()
    assert backend.store.run(run).id == run and "put back for a week" in said(app)
    app.button(key="keep").click().run()
    assert "put back for a week" not in said(app)
    app.button(key="delete").click().run()
    app.button(key="delete_it").click().run()
    assert [row.id for row in backend.store.runs()] == [other]
    assert "run" not in clean(app).query_params and f"Run {run}" not in said(app)


def test_a_live_run_cannot_be_deleted(app: AppTest, backend: InProcess) -> None:
    run = made(backend, QUICK, BEGUN, None)
    opened(app, run)
    assert app.button(key="delete").disabled


def test_a_run_deleted_in_another_tab_is_a_sentence(app: AppTest, backend: InProcess) -> None:
    run, other = finished(backend), finished(backend, OTHER)
    opened(app, run, other)
    backend.store.delete(run)
    app.run()
    assert f"There is no run {run} any more" in said(clean(app))
    assert f"Result of run {other}" in said(app)


def test_a_recipe_reopens_in_the_lab(app: AppTest, backend: InProcess) -> None:
    recipe = replace(OTHER, keep_whole=("fc2",), seed=7)
    run = finished(backend, recipe)
    app.run()  # the Lab has had another recipe before
    opened(app, run)
    app.button(key="reopen").click().run()
    assert clean(app).selectbox(key="workload").value == "mlp_128"
    assert from_json(app.query_params["recipe"]) == recipe


def test_a_recipe_of_another_version_is_listed_and_compared_but_not_reopened(app: AppTest, backend: InProcess) -> None:
    run, other = finished(backend), finished(backend, OTHER)
    rewrite(backend, run, "recipe", json.dumps({"version": 9, "workload": "mlp_128", "amount": {"kind": "magic"}}))
    assert table_data([backend.store.run(run)], [])["rows"][0]["cells"][0] == (
        "mlp_128",
        "made by a newer version, or damaged: version is 9; this program reads recipes of version 1: "
        "`python -m pruning recipe MODEL` writes one",
    )
    opened(app, run)
    assert app.button(key="reopen").disabled
    assert "made by a newer version, or damaged: version is 9" in app.warning[0].value
    opened(app, run, other)
    assert "magic" in html(app)


@pytest.mark.parametrize("text", ['{"version": 1, "workl', "\xff"])
@pytest.mark.parametrize("column", ["recipe", "event"])
def test_what_is_damaged_spoils_its_own_row_and_can_be_deleted(
    app: AppTest, backend: InProcess, column: str, text: str
) -> None:
    bad, good = finished(backend), finished(backend, OTHER)
    with sqlite3.connect(backend.store.path) as connection:
        table, key = ("runs", "id") if column == "recipe" else ("events", "run")
        connection.execute(
            f"UPDATE {table} SET {column} = cast(? AS TEXT) WHERE {key} = ?", (text.encode("latin1"), bad)
        )
    connection.close()
    opened(app, bad, good)
    assert "2 runs compared" in said(app)
    opened(app, bad)
    assert [row["id"] for row in listed(app)] == [good, bad]
    assert "made by a newer version, or damaged" in "\n".join([*(each.value for each in app.warning), said(app)])
    app.button(key="delete").click().run()
    clean(app).button(key="delete_it").click().run()
    assert [row["id"] for row in listed(clean(app))] == [good]


def test_a_row_with_a_value_of_another_type_is_drawn_as_failed(app: AppTest, backend: InProcess) -> None:
    bad, good = finished(backend), finished(backend, OTHER)
    rewrite(backend, bad, "created", "yesterday")
    opened(app, bad)
    assert [(row["id"], row["state"]) for row in listed(app)] == [(good, "finished"), (bad, "failed")]


def rewrite(backend: InProcess, run: str, column: str, value: str | float) -> None:
    with sqlite3.connect(backend.store.path) as connection:
        connection.execute(f"UPDATE runs SET {column} = ? WHERE id = ?", (value, run))


def test_two_runs_side_by_side_show_only_what_differs(app: AppTest, backend: InProcess) -> None:
    one, two = finished(backend), finished(backend, OTHER)
    backend.store.rename(two, "<b>bold</b>")
    opened(app, one, two)
    assert "2 runs compared" in said(app)
    lines = dict(re.findall(r"<tr><th scope='row'>([^<]*)</th>(.*?)</tr>", html(app)))
    assert re.findall(r"<td[^>]*>([^<]*)", lines["amount.share"]) == ["0.6", "0.9"]
    assert re.findall(r"<td[^>]*>([^<]*)", lines["tuning.epochs"]) == ["1", "2"]
    assert "workload" not in lines and "seed" not in lines
    assert lines["accuracy, test"].count("87.50\u202f%") == 2
    assert "&lt;b&gt;bold&lt;/b&gt;" in html(app) and "<b>bold" not in html(app)
    assert len(app.get("plotly_chart")) == 2
    app.selectbox(key="runs_size").set_value("macs").run()
    clean(app)


def test_the_same_recipe_twice_differs_in_nothing(app: AppTest, backend: InProcess) -> None:
    opened(app, finished(backend), finished(backend))
    assert "none: the same recipe" in html(app)


def test_a_live_run_shows_its_panel_and_stop_then_end_now(app: AppTest, backend: InProcess) -> None:
    run = made(backend, QUICK, BEGUN, None)
    opened(app, run)
    app.button(key="stop_button").click().run()
    assert backend.store.run(run).stopping
    app.run()
    app.button(key="end_button").click().run()
    assert backend.store.run(run).state == "stopped"
    assert "stopped" in {row["state"] for row in table_data([backend.store.run(run)], [])["rows"]}
    clean(app)


def test_a_queued_run_says_how_many_are_ahead_and_about_how_long(app: AppTest, backend: InProcess) -> None:
    running = made(backend, QUICK, BEGUN, None)
    # 20 steps and scoring worth 5 each for 3 stages, 1 round and 3 of verifying: 25 of 55 are done, in 60 s
    rewrite(backend, running, "seconds", 60.0)
    first, second = (backend.store.create(OTHER, "x") for _ in range(2))
    rows = table_data([backend.store.run(run) for run in (first, second)], [])["rows"]
    assert rows[0]["note"] == "next in the queue, starts in about 1\u202fmin 12\u202fs"
    assert rows[1]["note"] == "1 ahead of it in the queue, starts in about 3\u202fmin 24\u202fs"
    opened(app, second)
    assert app.button(key="stop_button")


def test_what_several_share_is_one_run_ahead_and_takes_its_time_once(app: AppTest, backend: InProcess) -> None:
    running = made(backend, QUICK, BEGUN, None)
    rewrite(backend, running, "seconds", 60.0)
    backend.store.share(QUICK, "another")  # of the one that runs
    first, shared = backend.store.create(OTHER, "x"), backend.store.share(OTHER, "another")
    backend.store.request_stop(first)  # left to the other
    last = backend.store.create(OTHER, "x")
    rows = table_data([backend.store.run(run) for run in (shared, last)], [])["rows"]
    assert rows[0]["note"] == "next in the queue, starts in about 1\u202fmin 12\u202fs"
    assert rows[1]["note"] == "1 ahead of it in the queue, starts in about 3\u202fmin 24\u202fs"


def test_a_time_that_nobody_knows_is_not_said(app: AppTest, backend: InProcess) -> None:
    """The run before it is stopping, and measures for as long as that takes."""
    running = made(backend, QUICK, BEGUN, None)
    rewrite(backend, running, "seconds", 60.0)
    queued = backend.store.create(OTHER, "x")
    backend.cancel(running)
    assert table_data([backend.store.run(queued)], [])["rows"][0]["note"] == "next in the queue"


def test_a_run_that_takes_longer_than_its_like_says_no_time(app: AppTest, backend: InProcess) -> None:
    rewrite(backend, finished(backend, OTHER), "seconds", 30.0)
    running = made(backend, replace(QUICK, seed=9), BEGUN[:1], None)
    rewrite(backend, running, "seconds", 1.0)
    queued = backend.store.create(OTHER, "x")
    run_queue._past.clear()  # pyright: ignore[reportPrivateUsage, reportFunctionMemberAccess]
    assert "starts in about" in table_data([backend.store.run(queued)], [])["rows"][0]["note"]
    rewrite(backend, running, "seconds", 60.0)
    assert table_data([backend.store.run(queued)], [])["rows"][0]["note"] == "next in the queue"


def test_a_resumed_run_is_said_once_and_says_where_it_went_on(app: AppTest, backend: InProcess) -> None:
    run = made(backend, QUICK, BEGUN, None)
    opened(app, run)
    backend.store.leases.release("test")
    app.run()
    assert backend.store.run(run).state == "queued"
    note = table_data([backend.store.run(run)], [])["rows"][0]["note"]
    assert note.startswith("its worker was lost, it goes on: next in the queue")
    lease = backend.store.leases.claim("test")
    assert lease is not None
    backend.store.leases.append(lease, Resumed(len(BEGUN) - 1, 0, 0), TuningStep(0, 0, 10, 0.5), *DONE[len(BEGUN) :])
    app.run()
    assert "resumed at round 1, step 0" in said(clean(app))
    events = [event for _, event in app.session_state["SharedState"].events[run, 2].numbered]
    kept = events[0]
    assert [event.loss for event in events if isinstance(event, TuningStep)] == [0.5]
    assert kept == BEGUN[0]


def test_moments_are_written_as_one_reads_them() -> None:
    zone = ZoneInfo("Europe/Paris")
    now = datetime(2026, 11, 22, 0, 30, tzinfo=zone)

    def at(*moment: int) -> str:
        return when(datetime(*moment, tzinfo=zone).timestamp(), now)  # type: ignore[arg-type]

    assert at(2026, 11, 22, 0, 5) == "00:05"
    assert at(2026, 11, 21, 23, 59) == "yesterday 23:59"
    assert at(2026, 11, 3, 14, 5) == "3 Nov 14:05"
    assert at(2025, 11, 22, 0, 30) == "22 Nov 2025"


def test_milestones_are_all_but_the_steps(backend: InProcess) -> None:
    run = finished(backend)
    every = [event for _, event in backend.store.events(run)]
    assert backend.store.milestones(run) == [event for event in every if not isinstance(event, TuningStep)]
    assert len(every) - len(backend.store.milestones(run)) == 1


def test_the_recovery_stands_below_a_result_with_the_control_where_it_was_run(app: AppTest, backend: InProcess) -> None:
    run = finished(backend)
    opened(app, run)
    assert "Recovery" in said(app) and "<th scope='col'>tuned</th></tr>" in html(app)
    assert "control: the dense network" not in said(app)
    finished(backend, dense_control(QUICK))
    app.run()
    assert "control: the dense network, trained as long." in said(clean(app))
    assert "<th scope='col'>control</th>" in html(app)


def test_a_run_that_waits_for_room_is_called_paused_and_says_how_much(app: AppTest, backend: InProcess) -> None:
    queued = backend.start(QUICK, "x", again=True)
    assert backend.store.leases.pause(backend.leases[queued])
    backend.store.disk.shortage = "waiting for room on the disk: 3 MB free, 64 MB needed"
    (row,) = table_data([backend.store.run(queued)], [])["rows"]
    assert (row["word"], row["note"]) == ("paused", "paused: waiting for room on the disk: 3 MB free, 64 MB needed")
    opened(app, queued)
    assert "paused: waiting for room on the disk: 3 MB free, 64 MB needed" in bars(app)
    backend.store.disk.shortage = ""
    assert table_data([backend.store.run(queued)], [])["rows"][0]["word"] == "queued"


def test_a_running_run_that_can_write_nothing_is_called_paused(app: AppTest, backend: InProcess) -> None:
    running = made(backend, QUICK, BEGUN, None)
    backend.store.disk.shortage = "waiting for room on the disk: 3 MB free, 64 MB needed"
    assert table_data([backend.store.run(running)], [])["rows"][0]["word"] == "running"  # it can, as far as one knows
    backend.store.disk.unwritable = "waiting for room on the disk: 0 MB free, 64 MB needed (Read-only file system)"
    (row,) = table_data([backend.store.run(running)], [])["rows"]
    assert row["word"] == "paused" and row["note"].endswith("(Read-only file system)")
    opened(app, running)
    assert "paused: waiting for room on the disk: 0 MB free" in bars(app)


def bars(app: AppTest) -> str:
    return "".join(element.proto.text for element in app.get("progress"))


def test_folders_that_the_store_does_not_know_are_said(app: AppTest, backend: InProcess) -> None:
    st.cache_data.clear()
    backend.store.folder("0123abcd-7").mkdir(parents=True)
    backend.store.upkeep.notice_strangers()
    opened(app)
    assert "1 folders of runs are not in this list (0123abcd-7): the store was emptied" in app.warning[0].value
    st.cache_data.clear()
