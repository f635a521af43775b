"""Whether a server is alive on a home is known by its file lock, also where it was killed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pruning.errors import JobError
from pruning.execution.local_backend import LocalBackend
from pruning.execution.store.backup import back_up
from pruning.execution.store.restoration import restore
from pruning.execution.store.server_lock import SERVERS, ServerLock, live_servers
from pruning.execution.store.store import Store
from tests.execution.leasing import RECIPE

HOLD = """
import pathlib, sys
from pruning.execution.store.server_lock import ServerLock
lock = ServerLock(pathlib.Path(sys.argv[1]))
print("up", flush=True)
input()
"""


def test_a_killed_servers_lock_holds_nobody_up(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdout is not None and server.stdout.readline() == b"up\n"
    try:
        assert live_servers(tmp_path) == [server.pid] == live_servers(tmp_path)
    finally:
        server.kill()
        server.communicate()
    assert any((tmp_path / SERVERS).iterdir()) and live_servers(tmp_path) == []
    assert not any((tmp_path / SERVERS).iterdir())


def test_two_servers_are_both_named_until_each_ends(tmp_path: Path) -> None:
    one, other = ServerLock(tmp_path), ServerLock(tmp_path)
    assert len(live_servers(tmp_path)) == 2
    one.release()
    assert len(live_servers(tmp_path)) == 1
    other.release()
    assert live_servers(tmp_path) == [] == live_servers(tmp_path / "nothing")


@pytest.mark.parametrize("force", [True, False])
def test_a_backup_is_not_put_in_the_place_of_a_home_that_is_served(tmp_path: Path, force: bool) -> None:
    home, backup = tmp_path / "home", tmp_path / "backup"
    run = Store(home).create(RECIPE, "s")
    backend = LocalBackend(home, interactive=0, runners=0)
    back_up(home, backup)
    assert {path.name for path in backup.iterdir()} == {"manifest.json", "store.sqlite"}
    with pytest.raises(JobError, match=r"a server runs on .*home \(process \d+\) .*; end it, then restore"):
        restore(backup, home, force)
    assert backend.store.run(run).state == "queued" and not list(tmp_path.glob("*before-restore*"))
    backend.close()
    _, aside = restore(backup, home, force=True)
    assert aside is not None and Store(home).run(run).state == "queued"


def test_a_server_that_starts_while_a_backup_is_read_is_noticed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, backup = tmp_path / "home", tmp_path / "backup"
    Store(home).create(RECIPE, "s")
    back_up(home, backup)
    answers: Iterator[list[int]] = iter([[], [4711]])

    def found(_: Path) -> list[int]:
        return next(answers)

    monkeypatch.setattr("pruning.execution.store.restoration.live_servers", found)
    with pytest.raises(JobError, match=r"process 4711"):
        restore(backup, home, force=True)
    assert not list(tmp_path.glob(".*restoring*")) and not list(tmp_path.glob("*before-restore*"))
