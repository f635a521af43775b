"""What whoever runs the server sees of all people's work, and ends; it is refused to everybody else here."""

from pruning.errors import JobError
from pruning.execution.backend import Backend
from pruning.execution.server_state import ServerState
from pruning.execution.store.disk_share import DiskShare
from pruning.execution.store.ownership import Who


class ServerDesk:
    """Every method raises a JobError for who does not run the server, whatever their page shows."""

    def __init__(self, backend: Backend, who: Who) -> None:
        self._backend = backend
        self._who = who

    def state(self) -> ServerState:
        self._require_owner()
        return self._backend.server_state()

    def disk_shares(self) -> list[DiskShare]:
        self._require_owner()
        return self._backend.store.disk_shares()

    def stop_run(self, run: str) -> None:
        """Ask it to end, for all who share it: it keeps what it has."""
        self._require_owner()
        for each in self._sharing(run):
            self._backend.cancel(each)

    def end_run(self, run: str) -> None:
        """End it at once, for all who share it."""
        self._require_owner()
        for each in self._sharing(run):
            self._backend.end(each)

    def stop_waiting(self, person: str) -> int:
        """Take a person's queued runs out of the queue, and end their searches for the best setting, which would queue
        others; returns how many runs that were. What runs goes on, but for runs of these searches.
        """
        self._require_owner()
        store = self._backend.store
        for halving in store.halvings.all():
            if halving.session == person and halving.state == "open":
                self._backend.stop_halving(halving.name)
        return store.stop_waiting(person)

    def end_questions(self, person: str) -> int:
        """End what a person's pages ask of interactive workers; returns how many questions that were."""
        self._require_owner()
        return self._backend.end_questions(person)

    def restart_worker(self, worker: str) -> None:
        """End a worker, for example one that hangs; another takes its place, and a run goes on from its checkpoint."""
        self._require_owner()
        self._backend.restart_worker(worker)

    def _sharing(self, run: str) -> list[str]:
        row = self._backend.store.run(run)
        return [each.id for each in (*self._backend.store.sharers(row), row) if not each.over]

    def _require_owner(self) -> None:
        if not self._who.owner:
            raise JobError(
                "only whoever runs the server sees and ends what others do; sign in at /sign-in with the owner's "
                "password"
            )
