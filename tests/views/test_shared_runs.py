"""A run that several people share, as each of them sees it."""

from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from pruning.events import Finished
from pruning.execution.store.ownership import Who, machine_user
from pruning.recipe.recipe import Recipe, to_json
from pruning.selection.amounts import Sparsity
from pruning.training.schedules import OneShot
from pruning.training.tuning import Tuning
from tests.views.conftest import InProcess
from views.shared.run_sharing import shared_with

QUICK = Recipe("mlp_128", amount=Sparsity(0.6), schedule=OneShot(), tuning=Tuning(epochs=1, images_per_epoch=512))
BERT = Who("user-bert")


@pytest.fixture
def bert(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("person", "run_sharing"):
        monkeypatch.setattr(f"views.shared.{module}.who", lambda: BERT)
    monkeypatch.setattr("views.shared.run_sharing.person", lambda: BERT.person)


def started(backend: InProcess, *people: str) -> list[str]:
    return [backend.start(QUICK, each) for each in people]


def words(backend: InProcess, run: str) -> str:
    return shared_with(backend.store.run(run))


def test_it_says_whose_run_is_the_same(backend: InProcess, bert: None) -> None:
    hers, his = started(backend, "user-anna", BERT.person)
    assert words(backend, his) == "The same as the run of anna: carried out once."
    assert words(backend, hers) == f"The same as your run {his}: carried out once."
    started(backend, "user-carl")
    assert words(backend, his) == "The same as the run of anna and 1 more: carried out once."
    alone = backend.store.create(replace(QUICK, seed=1), BERT.person)
    assert words(backend, alone) == ""


def test_whose_run_is_private_is_not_named(backend: InProcess, bert: None) -> None:
    hers, his = started(backend, "user-anna", BERT.person)
    backend.store.hide(hers, True)
    assert words(backend, his) == "The same as the run of somebody else: carried out once."
    mine, theirs = (backend.start(replace(QUICK, seed=1), each) for each in (BERT.person, "user-anna"))
    backend.store.hide(theirs, True)
    assert words(backend, mine) == ""  # nobody need know that somebody hides one


def test_what_another_person_ran_is_shown_at_once_and_run_again_carries_it_out(
    app: AppTest, backend: InProcess
) -> None:
    (hers,) = started(backend, "user-anna")
    backend.store.leases.finish(backend.leases[hers], Finished(False, 2.0))
    app.query_params["recipe"] = to_json(QUICK)
    app.run()
    app.button(key="run_button").click().run()
    mine = _run(app)
    assert mine != hers and backend.store.run(mine).carrier == hers and backend.store.run(mine).over
    assert any("The same as the run of anna" in caption.value for caption in app.caption)
    assert app.button(key="run_button").label == "Run again"
    app.button(key="run_button").click().run()
    again = _run(app)
    row = backend.store.run(again)
    assert row.carrier == again and row.state == "running" and row.session == machine_user()
    assert app.button(key="run_button").disabled and not app.exception


def test_stop_says_that_it_goes_on_for_others(app: AppTest, backend: InProcess) -> None:
    hers, mine = started(backend, "user-anna", machine_user())
    app.query_params["recipe"], app.query_params["run"] = to_json(QUICK), mine
    app.run()
    stop = app.button(key="stop_button")
    assert "it goes on for the others" in stop.help
    stop.click().run()
    assert backend.store.run(mine).state == "stopped" and backend.store.run(hers).state == "running"
    assert not app.exception


def _run(app: AppTest) -> str:
    found = app.query_params["run"]
    return found[0] if isinstance(found, list) else found
