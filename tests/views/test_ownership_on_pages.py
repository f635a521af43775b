"""Another person's runs on the pages: seen, and neither changed nor, where they are private, shown."""

import ast
import json
import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pruning.errors import JobError
from pruning.execution.own_changes import OwnChanges
from pruning.execution.store.ownership import Who
from pruning.sweeps.grid import Grid
from tests.views.conftest import InProcess
from tests.views.test_runs_page import BEGUN, OTHER, QUICK, clean, finished, listed, made, opened, said

VIEWS = Path(__file__).parents[2] / "views"
BERT = Who("user-bert")


@pytest.fixture
def bert(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is opened by Bert, who does not own the server; the runs of these tests are x's."""
    monkeypatch.setattr("streamlit.user", {"person": BERT.person})


def of(backend: InProcess, run: str, session: str) -> str:
    with backend.store._database.writing() as connection:
        connection.execute("UPDATE runs SET session = ? WHERE id = ?", (session, run))
    return run


def test_without_a_door_the_machines_user_owns_the_server(app: AppTest, backend: InProcess) -> None:
    run = finished(backend)
    assert not opened(app, run).button(key="delete").disabled


def test_what_can_be_done_with_anothers_run_is_shown_and_says_whose_it_is(
    app: AppTest, backend: InProcess, bert: None
) -> None:
    run = of(backend, finished(backend), "browser-a1b2c3d4e5f60718")
    opened(app, run)
    controls = [app.button(key="pin"), app.button(key="delete"), app.checkbox(key=f"private_{run}")]
    for control in (*controls, app.text_input(key=f"title_{run}")):
        assert control.disabled and "browser a1b2c3" in control.help
    assert not app.button(key="reopen").disabled


def test_anothers_live_run_cannot_be_stopped(app: AppTest, backend: InProcess, bert: None) -> None:
    run = of(backend, made(backend, QUICK, BEGUN, None), "user-anna")
    app.query_params["run"] = run
    stop = opened(app).button(key="stop_button")
    assert stop.disabled and "anna" in stop.help


def test_a_message_that_presses_a_button_that_is_off_changes_nothing(
    app: AppTest, backend: InProcess, bert: None
) -> None:
    run = of(backend, finished(backend), "user-anna")
    opened(app, run)
    pin, title = app.button(key="pin"), app.text_input(key=f"title_{run}")
    pin.proto.disabled = title.proto.disabled = False  # a browser would not let them; a message of one's own does
    pin.click().run()
    assert not backend.store.run(run).pinned
    title.set_value("mine").run()
    assert backend.store.run(run).title == ""


def test_ones_own_run_is_hidden_deleted_and_put_back(app: AppTest, backend: InProcess, bert: None) -> None:
    run = of(backend, finished(backend), BERT.person)
    opened(app, run)
    app.checkbox(key=f"private_{run}").check().run()
    assert backend.store.run(run).private
    app.button(key="delete").click().run()
    app.button(key="delete_it").click().run()
    assert backend.store.runs() == [] and any(run in text.value for text in clean(app).text)  # in the wastebasket
    app.button(key=f"put_back_{run}").click().run()
    assert [row.id for row in backend.store.runs()] == [run] and not clean(app).exception


def test_deleted_now_is_gone(app: AppTest, backend: InProcess, bert: None) -> None:
    run = of(backend, finished(backend), BERT.person)
    backend.store.wastebasket.throw(run)
    opened(app)
    app.button(key=f"empty_{run}").click().run()
    assert backend.store.wastebasket.all() == [] and not clean(app).text


def test_anothers_wastebasket_is_not_shown(app: AppTest, backend: InProcess, bert: None) -> None:
    run = of(backend, finished(backend), "user-anna")
    backend.store.wastebasket.throw(run)
    assert not opened(app).text


def test_a_private_run_is_nowhere_for_others(app: AppTest, backend: InProcess, bert: None) -> None:
    run, other = of(backend, finished(backend), "user-anna"), finished(backend, OTHER)
    backend.store.hide(run, True)
    app.query_params["run"] = run
    opened(app)
    assert run not in [row["id"] for row in rows_of(app)] and other in [row["id"] for row in rows_of(app)]
    assert f"There is no run {run} any more" in said(app)
    app.switch_page("views/lab/lab.py").run()
    app.query_params["run"] = run
    assert f"Run {run}" not in said(clean(app.run()))


def rows_of(app: AppTest) -> list[dict[str, object]]:
    (component,) = [each for each in app.main if getattr(each, "type", "") == "bidi_component"]
    return json.loads(component.proto.json)[0]["rows"]


def test_another_persons_experiment_says_whose_it_is(app: AppTest, backend: InProcess, bert: None) -> None:
    grid = Grid(QUICK, {"amount.share": (0.1, 0.3)})
    backend.start_sweep(grid, "user-anna")
    app.session_state["runs_view"] = "experiments"
    app.session_state["runs_sweep"] = grid.name
    opened(app)
    forget = app.button(key="sweep_forget")
    assert forget.disabled and "anna" in forget.help
    assert not [button for button in app.button if button.key == "sweep_stop"]  # nothing of Bert's waits there
    with pytest.raises(JobError, match="belongs to anna"):
        OwnChanges(backend, BERT).forget_sweep(grid.name)  # type: ignore[arg-type]


CHANGING = re.compile(
    r"backend\(\)\.(cancel|end|stop_halving|start_halving)$"
    r"|\.store\.(rename|pin|hide|delete|request_stop|end)$"
    r"|\.(sweeps|halvings)\.(rename|forget|open|end)$|\.wastebasket\.(throw|put_back|empty)$"
)


def changing(source: str) -> list[str]:
    """What the source takes from backend and store that changes something without asking whose it is."""
    taken = (ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute))
    return [each for each in taken if CHANGING.search(each)]


@pytest.mark.parametrize("file", sorted(VIEWS.rglob("*.py")), ids=lambda file: str(file.relative_to(VIEWS)))
def test_no_page_changes_anything_but_by_own_changes(file: Path) -> None:
    assert changing(file.read_text(encoding="utf-8")) == []


def test_a_change_past_it_is_found() -> None:
    past = ["backend().store.pin(1, True)", "backend().cancel(run)", "box(backend().store.sweeps.rename)"]
    assert len(changing("\n".join([*past, "changes().pin(1, True)"]))) == 3


@pytest.mark.parametrize(
    "address, shown", [(None, True), ("127.0.0.1", True), ("::ffff:127.0.0.1", True), ("203.0.113.7", False)]
)
def test_without_a_door_other_machines_are_shown_nothing(
    app: AppTest, backend: InProcess, monkeypatch: pytest.MonkeyPatch, address: str | None, shown: bool
) -> None:
    monkeypatch.setattr("streamlit.runtime.context.ContextProxy.ip_address", property(lambda _: address))
    finished(backend)
    opened(app)
    assert bool(app.error) is not shown and bool(listed(app)) is shown


def test_with_a_door_other_machines_are_shown_the_page(
    app: AppTest, backend: InProcess, bert: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamlit.runtime.context.ContextProxy.ip_address", property(lambda _: "203.0.113.7"))
    finished(backend)
    assert not opened(app).error
