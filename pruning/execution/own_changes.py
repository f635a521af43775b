"""What a person at a page changes: nothing happens to what belongs to somebody else."""

from typing import TYPE_CHECKING

from pruning.execution.backend import Backend
from pruning.execution.store.ownership import Who, require_owner

if TYPE_CHECKING:
    from pruning.halving.halving import Halving


class OwnChanges:
    """The changes that one person may make, under the names that they have in the backend and in the store.

    Each raises a JobError that says whose it is where it is another's. What the server does by itself (a worker that
    was lost, a halving that goes on) does not pass here.
    """

    def __init__(self, backend: Backend, who: Who) -> None:
        self._backend = backend
        self._store = backend.store
        self._who = who

    def rename(self, run: str, title: str) -> None:
        self._require_run(run)
        self._store.rename(run, title)

    def pin(self, run: str, pinned: bool) -> None:
        self._require_run(run)
        self._store.pin(run, pinned)

    def hide(self, run: str, private: bool) -> None:
        """Show the run to nobody else, or to all again."""
        self._require_run(run)
        self._store.hide(run, private)

    def cancel(self, run: str) -> None:
        self._require_run(run)
        self._backend.cancel(run)

    def end(self, run: str) -> None:
        self._require_run(run)
        self._backend.end(run)

    def throw(self, run: str) -> None:
        """Into the wastebasket."""
        self._require_run(run)
        self._store.wastebasket.throw(run)

    def put_back(self, run: str) -> None:
        self._require_waste(run)
        self._store.wastebasket.put_back(run)

    def empty(self, run: str) -> None:
        """Out of the wastebasket, for good."""
        self._require_waste(run)
        self._store.wastebasket.empty(run)

    def rename_sweep(self, name: str, title: str) -> None:
        self._require_sweep(name)
        self._store.sweeps.rename(name, title)

    def forget_sweep(self, name: str) -> None:
        self._require_sweep(name)
        self._store.sweeps.forget(name)

    def start_halving(self, halving: "Halving", seconds: float) -> str:
        """A new one is theirs; one that is there goes on if it is theirs, with runs in its owner's name."""
        known = {row.name: row for row in self._store.halvings.all()}
        session = self._who.person
        if (row := known.get(halving.name)) is not None:
            require_owner(row.session, self._who, f"halving {row.name}")
            session = row.session or session
        return self._backend.start_halving(halving, session, seconds)

    def stop_halving(self, name: str) -> None:
        self._require_halving(name)
        self._backend.stop_halving(name)

    def rename_halving(self, name: str, title: str) -> None:
        self._require_halving(name)
        self._store.halvings.rename(name, title)

    def forget_halving(self, name: str) -> None:
        self._require_halving(name)
        self._store.halvings.forget(name)

    def _require_run(self, run: str) -> None:
        require_owner(self._store.run(run).session, self._who, f"run {run}")

    def _require_waste(self, run: str) -> None:
        require_owner(self._store.wastebasket.one(run).session, self._who, f"run {run}")

    def _require_sweep(self, name: str) -> None:
        require_owner(self._store.sweeps.one(name).session, self._who, f"experiment {name}")

    def _require_halving(self, name: str) -> None:
        require_owner(self._store.halvings.one(name).session, self._who, f"halving {name}")
