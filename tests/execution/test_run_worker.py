"""A run carried out in this process, as a worker does it: what becomes of it when something is wrong."""

import sqlite3
from collections.abc import Generator
from pathlib import Path

import pytest

from pruning.events import Event, Failed
from pruning.execution.run_worker import carry_out_run
from pruning.execution.store.store import Store
from tests.execution.leasing import GENEROUS, RECIPE, claimed, reported
from tests.networks import tiny

WORKLOADS = {"mlp": lambda: tiny("mlp")}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home", GENEROUS)


def never(*_: object, **__: object) -> Generator[Event, None, None]:
    raise AssertionError("nothing is carried out")
    yield


def test_a_queued_run_that_cannot_be_read_fails_with_that_sentence(store: Store):
    run = store.create(RECIPE, "s")
    with sqlite3.connect(store.path) as connection:
        connection.execute("""UPDATE runs SET recipe = '{"version": 9}'""")
    connection.close()
    carry_out_run(store.leases, claimed(store), WORKLOADS, never, store.home)
    row = store.run(run)
    assert row.state == "failed" and row.sentence.startswith("made by a newer version, or damaged: version is 9")
    assert reported(store, run) == [Failed(row.sentence)]
