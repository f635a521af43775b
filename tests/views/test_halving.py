"""The best of a grid on the page Runs: it is asked for, followed, stopped, and its winner goes to the Lab."""

import pytest
from streamlit.testing.v1 import AppTest

from pruning.halving.halving import halving_from_json
from pruning.halving.result import Entry, Score, ranked, ranking_to_json
from pruning.selection.goal import Goal
from tests.views.conftest import InProcess
from tests.views.test_experiments import damaged, opened
from tests.views.test_runs_page import clean, html, said


def begun(app: AppTest) -> AppTest:
    opened(app)
    app.text_input(key="grid.amounts").set_value("50, 90").run()
    app.button(key="start_halving").click().run()
    return clean(app)


def found(backend: InProcess, *scores: tuple[float, ...]) -> None:
    """Settings with validation scores on their rungs."""
    (row,) = backend.store.halvings.all()
    states = {3: "finished", 2: "stopped early", 1: "stopped early"}
    entries = [
        Entry(
            number,
            {"amount.share": share},
            tuple(Score(f"run-{number}", each, 0.9 - each, 1 - share, each) for each in reached),
            states[len(reached)],  # type: ignore[arg-type]
        )
        for number, (share, *reached) in enumerate(scores)
    ]
    backend.store.halvings.keep(row.name, ranking_to_json(ranked(entries, 2)))


def test_a_single_setting_does_not_compete(app: AppTest, backend: InProcess) -> None:
    opened(app)
    assert "Nothing competes yet" in said(app) and "start_halving" not in [button.key for button in app.button]


def test_what_is_asked_for_is_the_grid_without_seeds_and_controls(app: AppTest, backend: InProcess) -> None:
    opened(app)
    app.text_input(key="grid.amounts").set_value("50, 90").run()
    app.selectbox(key="halving.wins").set_value("smallest").run()
    app.selectbox(key="halving.cost").set_value("macs").run()
    app.number_input(key="halving.lost.points").set_value(2.0).run()
    app.number_input(key="halving.minutes").set_value(7).run()
    assert app.button(key="start_halving").label == "Find the best of 2 settings"
    app.button(key="start_halving").click().run()
    (row,) = backend.store.halvings.all()
    halving = halving_from_json(row.halving_json)
    assert dict(halving.grid.vary) == {"amount.share": (0.5, 0.9)} and halving.grid.controls == ()
    assert halving.goal == Goal("macs", max_drop=0.02) and halving.images > 0
    assert row.ends - row.created == 420.0
    assert clean(app).selectbox(key="runs_sweep").value == row.name and "No run is over yet" in said(app)


def test_the_table_has_the_best_first_and_the_winner_waits_for_the_end(app: AppTest, backend: InProcess) -> None:
    begun(app)
    found(backend, (0.9, 0.7), (0.5, 0.8, 0.82, 0.85))
    app.run()
    table = html(clean(app))
    assert table.index("amount.share 0.5") < table.index("amount.share 0.9") and "stopped early" in table
    assert "85.00" in table and "−5.00" in table and "70.00" in table
    assert "Best so far: amount.share 0.5, 85.00" in said(app)
    assert app.button(key="halving_load").disabled
    app.button(key="halving_stop").click().run()
    (row,) = backend.store.halvings.all()
    assert row.state == "stopped" and "stopped; what was found is kept" in said(clean(app))
    app.text_input(key=f"sweep_title_{row.name}").set_value("two amounts").run()
    assert backend.store.halvings.all()[0].title == "two amounts"
    assert clean(app).selectbox(key="runs_sweep").value == row.name
    app.button(key="halving_load").click().run()
    recipe = app.session_state["SharedState"].last_recipe
    assert recipe.amount.share == 0.5 and recipe.tuning.images_per_epoch == opened_images(backend)


def opened_images(backend: InProcess) -> int | None:
    (row,) = backend.store.halvings.all()
    return halving_from_json(row.halving_json).grid.base.tuning.images_per_epoch


def test_what_was_stopped_does_not_go_on(app: AppTest, backend: InProcess) -> None:
    begun(app)
    (row,) = backend.store.halvings.all()
    entry = Entry(0, {"amount.share": 0.5}, (Score("run-0", 0.8, 0.1, 0.6, 0.4),))
    backend.store.halvings.keep(row.name, ranking_to_json(ranked([entry], 2)))
    app.run()
    assert "going on" in html(clean(app))
    app.button(key="halving_stop").click().run()
    assert "going on" not in html(clean(app)) and "not over" in html(app)


def test_it_goes_on_for_so_many_minutes_more_and_is_taken_off_the_list(app: AppTest, backend: InProcess) -> None:
    begun(app)
    app.button(key="halving_stop").click().run()
    app.number_input(key="halving_more").set_value(3).run()
    app.button(key="halving_go_on").click().run()
    (row,) = backend.store.halvings.all()
    assert row.state == "open"
    clean(app).button(key="halving_stop").click().run()
    app.button(key="halving_forget").click().run()
    assert backend.store.halvings.all() == []
    clean(app)


def test_a_winner_that_keeps_to_no_limit_is_said_to(app: AppTest, backend: InProcess) -> None:
    opened(app)
    app.text_input(key="grid.amounts").set_value("50, 90").run()
    app.selectbox(key="halving.wins").set_value("within").run()
    app.button(key="start_halving").click().run()
    (row,) = backend.store.halvings.all()
    entry = Entry(0, {"amount.share": 0.5}, (Score("run-0", 0.8, 0.1, 0.6, -2.2),), "stopped early")
    backend.store.halvings.keep(row.name, ranking_to_json(ranked([entry], 2)))
    app.run()
    assert "it does not keep to what was asked" in said(clean(app)) and "with 11" in said(app)


@pytest.mark.parametrize(
    ("column", "text"),
    [("halving", '{"version": 9}'), ("halving", '{"version": 1}'), ("halving", "[]"), ("ranking", "{")],
)
def test_one_that_cannot_be_read_says_so_and_is_taken_off_the_list(
    app: AppTest, backend: InProcess, column: str, text: str
) -> None:
    begun(app)
    (row,) = backend.store.halvings.all()
    damaged(backend, "halvings", column, text)
    assert "made by a newer version, or damaged" in said(clean(app.run()))
    backend.store.halvings.end(row.name, "failed", "it cannot be read")
    clean(app.run()).button(key="halving_forget").click().run()
    assert backend.store.halvings.all() == [] and not clean(app).error
