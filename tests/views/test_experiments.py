"""Experiments on the page Runs: a grid is made, queued once, followed, and its results are shown and taken home."""

import sqlite3
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pruning.events import Failed, Finished
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import PerLayer, Sparsity
from pruning.sweeps.grid import grid_from_json
from tests.views.conftest import InProcess
from tests.views.test_lab_page import QUICK
from tests.views.test_runs_page import DONE, clean, html, said
from views.runs.grid_form import grid_of
from views.shared.state import SharedState


def opened(app: AppTest, recipe: Recipe = QUICK) -> AppTest:
    app.switch_page("views/runs/runs.py")
    app.session_state["SharedState"] = SharedState(last_recipe=recipe)
    app.run()
    app.button_group(key="runs_view").set_value("experiments").run()
    return clean(app)


def finish(backend: InProcess, runs: int = 1, end: Any = None) -> None:
    for _ in range(runs):
        lease = backend.store.leases.claim("w")
        assert lease is not None
        if end is None:
            backend.store.leases.append(lease, *DONE)
        backend.store.leases.finish(lease, end or Finished(False, 2.0))


def queued(app: AppTest, backend: InProcess) -> AppTest:
    """A grid of two amounts and two seeds with its controls: 2 · 2, two dense ones, 2 · 2 at random."""
    opened(app)
    app.text_input(key="grid.amounts").set_value("50, 90").run()
    app.number_input(key="grid.seeds").set_value(2).run()
    app.button(key="queue_grid").click().run()
    return clean(app)


def damaged(backend: InProcess, table: str, column: str, text: str) -> None:
    with sqlite3.connect(backend.store.path) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", (text,))
    connection.close()


def test_a_grid_says_how_many_runs_it_is_before_it_is_queued(app: AppTest, backend: InProcess) -> None:
    opened(app)
    assert "**7 runs**: 3 of the grid, 3 dense and 3 random controls" not in said(app)
    assert "**9 runs**: 3 of the grid, 3 dense and 3 random controls" in said(app)
    app.multiselect(key="grid.criterion").set_value(["magnitude", "taylor", "geometric_median"]).run()
    app.text_input(key="grid.amounts").set_value("50; 90").run()
    app.checkbox(key="grid.random").set_value(False).run()
    assert "**15 runs**: 12 of the grid, 3 dense and 0 random controls" in said(clean(app))
    assert "6 do not go together, and are not run" in said(app)
    assert "geometric_median scores channels, not single weights: choose granularity channels" in said(app)
    assert app.button(key="queue_grid").label == "Queue 15 runs" and backend.store.queue() == []


def test_what_is_queued_is_the_grid_and_its_page_opens(app: AppTest, backend: InProcess) -> None:
    queued(app, backend)
    (kept,) = backend.store.sweeps.all()
    grid = grid_from_json(kept.grid_json)
    assert grid.base == QUICK and dict(grid.vary) == {"amount.share": (0.5, 0.9), "seed": (0, 1)}
    assert len(backend.store.queue()) == 10
    assert app.selectbox(key="runs_sweep").value == kept.name
    assert "No run of this experiment is finished yet" in said(app)


def test_what_was_run_before_is_not_queued_again(app: AppTest, backend: InProcess) -> None:
    queued(app, backend)
    finish(backend, 3)
    finish(backend, end=Failed("no"))
    app.selectbox(key="runs_sweep").set_value("").run()
    assert "3 are done already" in said(clean(app)) and "6 are queued or running" in said(app)
    assert "1 failed or were stopped, and are tried again" in said(app)
    app.button(key="queue_grid").click().run()
    assert len(backend.store.queue()) == 7 and len(backend.store.sweeps.all()) == 1


def test_results_are_a_table_with_intervals_two_figures_and_files(app: AppTest, backend: InProcess) -> None:
    queued(app, backend)
    finish(backend, 10)
    app.run()
    table = html(clean(app))
    assert "87.50 ± 0.00\u202f%" in table and "dense control" in table and "<th scope='row'>grid</th>" in table
    assert "Student&#x27;s t" not in table and "Student's t over up to 2 seeds" in said(app)
    assert len(app.get("plotly_chart")) == 2
    assert "10 runs: 10 finished" in app.get("progress")[0].proto.text
    names = {button.proto.label for button in app.get("download_button")}
    assert {"table.csv", "table.tex", "runs.csv", "runs.parquet", "tradeoff.png", "tradeoff.svg"} <= names
    app.selectbox(key="sweep_size").set_value("macs").run()
    clean(app)


def test_what_waits_is_taken_out_of_the_queue_and_queued_again(app: AppTest, backend: InProcess) -> None:
    queued(app, backend)
    finish(backend)
    app.run()
    assert app.button(key="sweep_stop").label == "Take 9 out of the queue"
    app.button(key="sweep_stop").click().run()
    assert backend.store.queue() == []
    assert app.button(key="sweep_again").label == "Queue the 9 that are missing"
    app.button(key="sweep_again").click().run()
    assert len(backend.store.queue()) == 9
    clean(app)


@pytest.mark.parametrize("text", ['{"version": 1, "ba', '{"version": 7}', '{"version": 1, "base": {"version": 9}}'])
def test_a_grid_that_cannot_be_read_says_so_and_is_taken_off_the_list(
    app: AppTest, backend: InProcess, text: str
) -> None:
    queued(app, backend)
    damaged(backend, "sweeps", "grid", text)
    assert "made by a newer version, or damaged" in said(clean(app.run()))
    app.button(key="sweep_forget").click().run()
    assert backend.store.sweeps.all() == [] and "made by a newer" not in said(clean(app))


def test_a_failed_run_says_why(app: AppTest, backend: InProcess) -> None:
    queued(app, backend)
    finish(backend, end=Failed("no memory; lower tuning.batch_size"))
    app.run()
    assert "failed: no memory; lower tuning.batch_size" in said(clean(app))


def test_an_experiment_has_a_title_and_can_be_closed(app: AppTest, backend: InProcess) -> None:
    queued(app, backend)
    (kept,) = backend.store.sweeps.all()
    app.text_input(key=f"sweep_title_{kept.name}").set_value("two amounts").run()
    assert backend.store.sweeps.all()[0].title == "two amounts"
    app.button(key="sweep_forget").click().run()
    assert backend.store.sweeps.all() == [] and len(backend.store.runs()) == 10
    assert clean(app).selectbox(key="runs_sweep").value == ""


def test_what_is_no_number_is_said_beside_its_control(app: AppTest, backend: InProcess) -> None:
    opened(app)
    app.text_input(key="grid.amounts").set_value("half").run()
    assert "These are no numbers" in clean(app).error[0].value
    app.text_input(key="grid.amounts").set_value("150").run()
    assert "amount.share is 1.5; it lies between 0 and 1" in clean(app).error[0].value
    opened(app, replace(QUICK, amount=PerLayer({"fc1": 0.5})))
    assert app.text_input(key="grid.amounts").disabled and "per layer, which has no single percentage" in said(app)


@pytest.mark.parametrize("chosen", [[], ["magnitude"]])
def test_a_choice_that_keeps_the_recipes_own_is_not_varied(chosen: list[str]) -> None:
    assert dict(grid_of(QUICK, {"criterion": chosen}, [], 2, []).vary) == {"seed": (0, 1)}


def test_the_recipes_own_choice_keeps_its_fields_beside_others() -> None:
    base = Recipe("mlp_128", amount=Sparsity(0.5))
    base = replace(base, criterion=type(base.criterion)(p=2))
    grid = grid_of(base, {"criterion": ["magnitude", "taylor"]}, [], 1, ["dense"])
    assert grid.vary["criterion"] == ({"kind": "magnitude", "p": 2}, {"kind": "taylor"})
