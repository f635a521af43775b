"""Whose a run is: others see it, and change nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pruning.errors import JobError
from pruning.execution.own_changes import OwnChanges
from pruning.execution.store.ownership import Who, machine_user, may_see, seen, shown_name
from pruning.execution.store.store import Store
from pruning.halving.halving import Halving, halving_to_json
from pruning.sweeps.grid import Grid
from tests.execution.leasing import GENEROUS, OTHER, RECIPE

ANNA, BERT, OWNER = Who("browser-a1b2c3d4e5f60718"), Who("user-bert"), Who("browser-ffff", owner=True)
HALVING = Halving(Grid(RECIPE, {"amount.share": (0.1, 0.3)}), 9000)


class Noting:
    """A backend that notes what it is asked to do."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.asked: list[tuple[str, str]] = []

    def cancel(self, run: str) -> None:
        self.asked.append(("cancel", run))

    def end(self, run: str) -> None:
        self.asked.append(("end", run))

    def stop_halving(self, name: str) -> None:
        self.asked.append(("stop_halving", name))

    def start_halving(self, halving: Halving, session: str, seconds: float) -> str:
        self.asked.append(("start_halving", session))
        return halving.name


@pytest.fixture
def backend(tmp_path: Path) -> Noting:
    """Anna's: a run, one in the wastebasket, a sweep and a halving."""
    store = Store(tmp_path / "home", GENEROUS)
    made = Noting(store)
    made.run, made.waste = (store.create(recipe, ANNA.person) for recipe in (RECIPE, OTHER))
    store.end(made.waste)
    store.wastebasket.throw(made.waste)
    store.sweeps.queue("grid", "{}", [], ANNA.person)
    store.halvings.open(HALVING.name, halving_to_json(HALVING), ANNA.person, 60)
    return made


CHANGES: dict[str, Callable[[OwnChanges, Any], object]] = {
    "rename": lambda mine, there: mine.rename(there.run, "x"),
    "pin": lambda mine, there: mine.pin(there.run, True),
    "hide": lambda mine, there: mine.hide(there.run, True),
    "cancel": lambda mine, there: mine.cancel(there.run),
    "end": lambda mine, there: mine.end(there.run),
    "throw": lambda mine, there: (there.store.end(there.run), mine.throw(there.run)),
    "put_back": lambda mine, there: mine.put_back(there.waste),
    "empty": lambda mine, there: mine.empty(there.waste),
    "rename_sweep": lambda mine, there: mine.rename_sweep("grid", "x"),
    "forget_sweep": lambda mine, there: mine.forget_sweep("grid"),
    "start_halving": lambda mine, there: mine.start_halving(HALVING, 60),
    "stop_halving": lambda mine, there: mine.stop_halving(HALVING.name),
    "rename_halving": lambda mine, there: mine.rename_halving(HALVING.name, "x"),
    "forget_halving": lambda mine, there: (
        there.store.halvings.end(HALVING.name, "stopped", ""),
        mine.forget_halving(HALVING.name),
    ),
}


def test_every_change_is_tried_below() -> None:
    assert CHANGES.keys() == {name for name in vars(OwnChanges) if not name.startswith("_")}


def state(backend: Any) -> object:
    store = backend.store
    return (store.runs(), store.wastebasket.all(), store.sweeps.all(), store.halvings.all(), list(backend.asked))


@pytest.mark.parametrize("name", CHANGES)
def test_nobody_changes_what_is_anothers(backend: Any, name: str) -> None:
    if name == "throw":
        backend.store.end(backend.run)
    if name == "forget_halving":
        backend.store.halvings.end(HALVING.name, "stopped", "")
    before = state(backend)
    with pytest.raises(JobError, match=r"belongs to browser a1b2c3; ask them, or whoever runs the server"):
        CHANGES[name](OwnChanges(backend, BERT), backend)
    assert state(backend) == before


@pytest.mark.parametrize("who", [ANNA, OWNER])
@pytest.mark.parametrize("name", CHANGES)
def test_whose_it_is_may_and_so_may_whoever_runs_the_server(backend: Any, name: str, who: Who) -> None:
    before = state(backend)
    CHANGES[name](OwnChanges(backend, who), backend)
    assert state(backend) != before


def test_a_halving_that_goes_on_stays_its_owners(backend: Any) -> None:
    OwnChanges(backend, OWNER).start_halving(HALVING, 60)
    assert backend.asked == [("start_halving", ANNA.person)]
    backend.store.halvings.end(HALVING.name, "stopped", "")
    backend.store.halvings.forget(HALVING.name)
    OwnChanges(backend, BERT).start_halving(HALVING, 60)
    assert backend.asked[1:] == [("start_halving", BERT.person)]


@pytest.mark.parametrize("session", ["18f3a9c21", ""])
def test_what_was_made_before_people_were_known_is_nobodys(backend: Any, session: str) -> None:
    run = backend.store.create(OTHER, session)
    for who in (ANNA, Who("")):
        with pytest.raises(JobError, match="by somebody who is not known any more; ask whoever runs the server"):
            OwnChanges(backend, who).rename(run, "x")
    OwnChanges(backend, OWNER).rename(run, "x")


def test_a_private_run_is_shown_to_its_owner_alone(backend: Any) -> None:
    store = backend.store
    assert all(may_see(store.run(backend.run), who) for who in (ANNA, BERT, OWNER))
    OwnChanges(backend, ANNA).hide(backend.run, True)
    assert [len(seen(store.runs(), who)) for who in (ANNA, BERT, OWNER)] == [1, 0, 1]
    OwnChanges(backend, ANNA).hide(backend.run, False)
    assert len(seen(store.runs(), BERT)) == 1


def test_a_private_run_does_not_stand_for_anothers(backend: Any) -> None:
    backend.store.hide(backend.run, True)
    assert backend.store.sweeps.queue("a", "{}", [RECIPE], ANNA.person) == []
    assert len(backend.store.sweeps.queue("b", "{}", [RECIPE], BERT.person)) == 1


def test_people_are_called_what_others_know_them_by(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["browser-a1b2c3d4e5f60718", "user-anna@school.example", "machine-root", "command line", "18f3a9c21", ""]
    called = ["browser a1b2c3", "anna@school.example", "root", "command line", "", ""]
    assert [shown_name(name) for name in names] == called
    monkeypatch.setattr("getpass.getuser", lambda: (_ for _ in ()).throw(OSError("no name")))
    assert shown_name(machine_user()) == "user"
