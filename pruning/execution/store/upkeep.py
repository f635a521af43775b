"""What keeps a store and its folders in step: leftovers of killed processes, folders of unknown runs, free room."""

from collections.abc import Collection

from pruning.execution.store import run_folders as folders
from pruning.execution.store import transitions as changes
from pruning.execution.store.database import Database


class Upkeep:
    """What a server does at its start and a person at the command line; no page asks for it but for `strangers`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._runs = database.home / "runs"

    def sweep(self) -> None:
        """Delete what killed processes left: folders of deleted runs, checkpoints of runs that are over."""
        found = folders.run_folders(self._runs)  # before the rows: a folder is made after its row
        self.notice_strangers()
        with self._database.reading() as connection:
            strangers = {run for (run,) in connection.execute("SELECT run FROM strangers")}
            states: dict[str, str] = dict(connection.execute("SELECT id, state FROM runs"))
        ours = [path for path in found if path.name not in strangers]
        folders.sweep(ours, states.keys(), {run for run, state in states.items() if state in ("queued", "running")})

    def notice_strangers(self) -> list[str]:
        """Folders of runs that this store has never had: it was emptied, or an older copy was put in its place.

        They are left alone, and no id of theirs is ever given again.
        """
        found = [path.name for path in folders.run_folders(self._runs)]
        with self._database.writing(durable=True) as connection:
            changes.notice_strangers(connection, found)
        return self.strangers()

    def strangers(self) -> list[str]:
        """Those that were noticed and are there still."""
        with self._database.reading() as connection:
            noticed = [run for (run,) in connection.execute("SELECT run FROM strangers ORDER BY run")]
        return [run for run in noticed if (self._runs / run).is_dir()]

    def only_of(self, runs: Collection[str]) -> list[str]:
        """The runs whose files nobody would show any more if these were deleted."""
        with self._database.reading() as connection:
            shown = connection.execute("SELECT carrier, id FROM runs WHERE NOT gone").fetchall()
        wanted = {carrier for carrier, run in shown if run not in runs}
        return sorted({carrier for carrier, run in shown if run in runs} - wanted)

    def shrink(self) -> None:
        """Give the room of deleted rows back to the disk; others wait meanwhile."""
        with self._database.reading() as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def begin_again(self) -> None:
        """After a backup was restored: what was going on when it was made waits for a worker."""
        with self._database.writing(durable=True) as connection:
            for (run,) in connection.execute("SELECT id FROM runs WHERE state = 'running'").fetchall():
                changes.queue_again(connection, run)
                if folders.shared_checkpoints():  # they are of later, and count events that are not there any more
                    folders.discard_checkpoints(self._runs / run)
