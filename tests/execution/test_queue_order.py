"""The place that a person is told is the one at which the run starts, whatever else goes on in the store."""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning.errors import JobError
from pruning.events import Finished
from pruning.execution.store.records import Lease
from pruning.execution.store.store import Store
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Sparsity
from tests.execution.leasing import GENEROUS, OTHER, RECIPE, claimed

RECIPES = [Recipe("mlp", amount=Sparsity(share)) for share in (0.1, 0.2, 0.3)]
FREE, TOO_MUCH = 10**9, 10**10
PERSON, NUMBER = st.sampled_from("abc"), st.integers(0, 20)
HAPPENINGS = st.one_of(
    st.tuples(st.sampled_from(["create", "share"]), PERSON, st.sampled_from(RECIPES)),
    st.tuples(st.just("sweep"), PERSON, st.lists(st.sampled_from(RECIPES), unique=True)),
    st.tuples(st.sampled_from(["claim", "finish", "hand_back", "lose", "stop", "pause", "make_room"]), NUMBER),
)


@dataclass
class Server:
    """A store, and workers that take runs out of it."""

    store: Store
    leases: list[Lease] = field(default_factory=list[Lease])

    def happens(self, what: str, *details: object) -> None:
        getattr(self, what)(*details)

    def create(self, person: str, recipe: Recipe) -> None:
        self.store.create(recipe, person)

    def share(self, person: str, recipe: Recipe) -> None:
        self.store.share(recipe, person)

    def sweep(self, person: str, recipes: list[Recipe]) -> None:
        self.store.sweeps.queue(f"grid of {person}", "{}", recipes, person)

    def claim(self, worker: int) -> None:
        lease = self.store.leases.claim(f"{worker} {len(self.leases)}")
        self.leases += [lease] if lease else []

    def finish(self, at: int) -> None:
        if self.leases:
            self.store.leases.finish(self.leases.pop(at % len(self.leases)), Finished(False, 1.0))

    def hand_back(self, at: int) -> None:
        if self.leases:
            self.store.leases.hand_back(self.leases.pop(at % len(self.leases)).worker)

    def lose(self, at: int) -> None:
        if self.leases:
            self.store.leases.release(self.leases.pop(at % len(self.leases)).worker)

    def stop(self, at: int) -> None:
        if rows := self.store.runs(("queued", "running")):
            self.store.request_stop(rows[at % len(rows)].id)

    def pause(self, at: int) -> None:
        """A running run is put back until there is more room than there is."""
        if self.leases:
            lease = self.leases.pop(at % len(self.leases))
            self.store.leases.pause(lease)
            self._set_needs("id = ?", TOO_MUCH, lease.run)

    def make_room(self, at: int) -> None:
        self._set_needs("needs > 0", 1)

    def _set_needs(self, where: str, needs: int, *values: str) -> None:
        with self.store._database.writing() as connection:  # pyright: ignore[reportPrivateUsage]
            connection.execute(f"UPDATE runs SET needs = ? WHERE {where}", (needs, *values))


@settings(max_examples=60, deadline=None)
@given(st.lists(HAPPENINGS, max_size=25))
def test_runs_start_in_the_order_that_was_shown(happenings: list[tuple[str, object]]):
    with TemporaryDirectory() as home:
        store = Store(Path(home), GENEROUS)
        store.disk.free = lambda: FREE
        server = Server(store)
        for what, *details in happenings:
            server.happens(what, *details)
        shown = store.queue()
        places = {row.id: store.place_in_queue(row.id) for row in store.runs(("queued",)) if row.carrier in shown}
        started = [lease.run for lease in iter(lambda: store.leases.claim("w"), None)]
        assert started == shown
        assert all(started[place] == store.run(run).carrier for run, place in places.items())
        left = store.runs(("queued",))
        assert all(row.needs > FREE for row in left)  # only what waits for room waits still
        store.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home", GENEROUS)


def test_a_paused_run_takes_no_turn_of_its_owners_other_runs(store: Store):
    """Anna's first waits for room. Her second would come after all of Bert's, were the first to take her turns."""
    store.disk.free = lambda: FREE
    paused = store.create(RECIPE, "anna")
    Server(store, [claimed(store)]).pause(0)
    second = store.create(OTHER, "anna")
    berts = [store.create(OTHER, "bert") for _ in range(3)]
    assert store.queue() == [second, *berts] and store.place_in_queue(paused) == 0
    assert [claimed(store).run for _ in range(4)] == [second, *berts]
    assert store.leases.claim("w") is None


def test_a_run_that_is_not_there_has_no_place(store: Store):
    with pytest.raises(JobError, match="there is no run"):
        store.place_in_queue("7f3a9c21-1")
