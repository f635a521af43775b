"""What whoever runs the server sees and ends, and that nobody else does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pruning.errors import JobError
from pruning.execution.server_desk import ServerDesk
from pruning.execution.server_state import ServerState
from pruning.execution.store.ownership import Who
from pruning.execution.store.store import Store
from pruning.halving.halving import Halving, halving_to_json
from pruning.sweeps.grid import Grid
from tests.execution.leasing import GENEROUS, OTHER, RECIPE, claimed

OWNER, ANNA = Who("machine-me", owner=True), Who("user-anna")
HALVING = Halving(Grid(RECIPE, {"amount.share": (0.1, 0.3)}), 9000)


class Noting:
    """A backend that stops runs in its store and notes what else it is asked to do."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.asked: list[tuple[str, str]] = []

    def cancel(self, run: str) -> None:
        self.store.request_stop(run)

    def end(self, run: str) -> None:
        self.store.end(run)

    def stop_halving(self, name: str) -> None:
        self.asked.append(("stop_halving", name))

    def server_state(self) -> ServerState:
        return ServerState((), ())

    def end_questions(self, person: str) -> int:
        self.asked.append(("end_questions", person))
        return 3

    def restart_worker(self, worker: str) -> None:
        self.asked.append(("restart_worker", worker))


@pytest.fixture
def backend(tmp_path: Path) -> Any:
    return Noting(Store(tmp_path / "home", GENEROUS))


DOES: dict[str, Callable[[ServerDesk, str], object]] = {
    "state": lambda desk, run: desk.state(),
    "disk_shares": lambda desk, run: desk.disk_shares(),
    "stop_run": lambda desk, run: desk.stop_run(run),
    "end_run": lambda desk, run: desk.end_run(run),
    "stop_waiting": lambda desk, run: desk.stop_waiting("user-anna"),
    "end_questions": lambda desk, run: desk.end_questions("user-anna"),
    "restart_worker": lambda desk, run: desk.restart_worker("one"),
}


def test_everything_is_tried_below() -> None:
    assert DOES.keys() == {name for name in vars(ServerDesk) if not name.startswith("_")}


@pytest.mark.parametrize("what", DOES)
def test_who_does_not_run_the_server_is_refused_even_their_own(backend: Any, what: str) -> None:
    run = backend.store.create(RECIPE, ANNA.person)
    with pytest.raises(JobError, match=r"only whoever runs the server .* sign in at /sign-in"):
        DOES[what](ServerDesk(backend, ANNA), run)
    assert backend.store.run(run).state == "queued" and backend.asked == []
    DOES[what](ServerDesk(backend, OWNER), run)


@pytest.mark.parametrize("what", ["stop_run", "end_run"])
def test_a_run_is_stopped_for_all_who_share_it(backend: Any, what: str) -> None:
    store = backend.store
    runs = [store.share(RECIPE, person) for person in ("anna", "bert", "cem")]
    lease = claimed(store)
    getattr(ServerDesk(backend, OWNER), what)(runs[1])
    if what == "stop_run":
        assert store.leases.stop_requested(lease.run)
        assert [store.run(run).state for run in runs].count("running") == 1  # whose run it is that ends now
    else:
        assert [store.run(run).state for run in runs] == ["stopped"] * 3


def test_what_waits_of_one_person_ends_with_their_searches(backend: Any) -> None:
    store = backend.store
    store.create(RECIPE, ANNA.person)
    goes_on = claimed(store)
    hers, other = store.create(OTHER, ANNA.person), store.create(OTHER, "bert")
    for session in (ANNA.person, "bert"):
        store.halvings.open(f"{HALVING.name} {session}", halving_to_json(HALVING), session, 60)
    assert ServerDesk(backend, OWNER).stop_waiting(ANNA.person) == 1
    assert [store.run(run).state for run in (goes_on.run, hers, other)] == ["running", "stopped", "queued"]
    assert backend.asked == [("stop_halving", f"{HALVING.name} {ANNA.person}")]
