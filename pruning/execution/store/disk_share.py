"""How much of the disk each person's runs take, counted from what the store has noted: no folder is looked through."""

import sqlite3
from dataclasses import dataclass

from pruning.errors import JobError

MB = 2**20
_NAMED = 3
_SIZES = (
    "SELECT one.session, one.id, work.event_bytes + "
    "(SELECT coalesce(sum(bytes), 0) FROM artefacts WHERE artefacts.run = work.id) AS bytes "
    "FROM runs AS one JOIN runs AS work ON work.id = one.carrier WHERE NOT one.gone"
)
"""What several share counts for each of them: it stays if all others delete theirs. With what is in the wastebasket."""


@dataclass(frozen=True)
class DiskShare:
    """What one person's runs take: exported files and events, in bytes."""

    session: str
    runs: int
    bytes: int


def disk_shares(connection: sqlite3.Connection) -> list[DiskShare]:
    """For every person with runs, the most first."""
    query = f"SELECT session, count(*), sum(bytes) AS bytes FROM ({_SIZES}) GROUP BY session ORDER BY bytes DESC"
    return [DiskShare(*values) for values in connection.execute(query)]


def require_share(connection: sqlite3.Connection, session: str, most_mb: int) -> None:
    """JobError, which says what to delete, if a person's runs take as much as they may; 0: as much as they like."""
    if not most_mb:
        return
    own = connection.execute(f"{_SIZES} AND one.session = ? ORDER BY bytes DESC", (session,)).fetchall()
    taken = sum(size for _, _, size in own)
    if taken >= most_mb * MB:
        largest = ", ".join(f"{run} ({size / MB:.1f} MB)" for _, run, size in own[:_NAMED])
        raise JobError(
            f"your runs take {taken / MB:.1f} MB of the disk and {most_mb} MB is the most; delete some on the page "
            f"Runs, and there out of the wastebasket, the largest first: {largest}"
        )
