"""The list of runs: who finds which, in which order, and that no more is read than is asked for."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from pruning.execution.store.ownership import Who, seen
from pruning.execution.store.records import RunState
from pruning.execution.store.run_list import Wanted
from pruning.execution.store.store import Store
from tests.execution.leasing import GENEROUS, OTHER, RECIPE, claimed, over, running

LIVE: tuple[RunState, ...] = ("queued", "running")
ENDED_EARLY: tuple[RunState, ...] = ("stopped", "failed")
ANNA, OWNER = Who("anna"), Who("machine-root", owner=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home", GENEROUS)


def test_search_wants_every_word_somewhere_in_whatever_case(store: Store) -> None:
    first, second = store.create(RECIPE, "s"), store.create(replace(OTHER, workload="lenet"), "s")
    store.rename(first, "Für die GRÖSSTE 50% Übung")

    def found(search: str) -> list[str]:
        return store.list.found(Wanted(ANNA, search=search), 99)

    assert found("") == found("  ") == [second, first]
    assert found("übung für") == found("grösste mLp") == found("50%") == [first]
    assert found("LENET magnitude") == found(second) == [second]
    assert found("magnitude") == [second, first]
    assert store.list.found(Wanted(ANNA, search="magnitude"), 1) == store.list.found(Wanted(ANNA), 1) == [second]
    assert found("übung lenet") == found("%%") == []
    assert store.list.found(Wanted(ANNA, ("finished",), "magnitude"), 99) == []


def test_it_finds_what_a_page_shows_in_the_order_of_all_runs(store: Store) -> None:
    runs = [store.create(RECIPE, session) for session in ("anna", "bert", "", "anna", "bert")]
    for run in runs[1:4]:
        store.hide(run, True)
    store.pin(runs[0], True)
    left = store.share(RECIPE, "carl")
    store.request_stop(left)  # it goes on for the others
    for who in (ANNA, Who("bert"), Who(""), OWNER):
        shown = [row.id for row in seen(store.runs(), who)]
        assert store.list.found(Wanted(who), 99) == shown
        assert [row.id for row in store.list.of_recipes([RECIPE.name, OTHER.name, RECIPE.name], who)] == shown
        for states in (LIVE, ENDED_EARLY):
            of_state = [row.id for row in seen(store.runs(states), who)]
            assert store.list.found(Wanted(who, states), 99) == of_state
    assert store.list.found(Wanted(ANNA, mine=True), 99) == [runs[0], runs[3]]
    assert store.list.found(Wanted(OWNER, mine=True), 99) == store.list.of_recipes([OTHER.name], OWNER) == []


def test_rows_come_as_asked_for_but_for_those_that_are_gone(store: Store) -> None:
    first, second, gone = over(store), over(store), over(store)
    store.delete(gone)
    assert store.list.rows([first, gone, second]) == [store.run(first), store.run(second)]
    assert store.list.rows([]) == []


def test_counts_are_of_all_that_is_in_the_lists(store: Store) -> None:
    over(store)
    store.hide(over(store), True)
    store.wastebasket.throw(over(store))
    running(store, OTHER)
    store.create(OTHER, "s")
    assert store.list.counts() == {"finished": 2, "running": 1, "queued": 1}
    assert claimed(store).worker == "w" and store.list.counts() == {"finished": 2, "running": 2}


@pytest.mark.parametrize("wanted", [Wanted(OWNER), Wanted(ANNA)])
def test_the_first_are_found_without_sorting_the_others(store: Store, wanted: Wanted) -> None:
    statements: list[str] = []
    with store.list._database.reading() as connection:  # pyright: ignore[reportPrivateUsage]
        connection.set_trace_callback(statements.append)
    store.list.found(wanted, 50)
    with sqlite3.connect(store.path) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statements[-1]}")]
    assert "SCAN one USING INDEX runs_in_order" in plan[0] and not any("ORDER BY" in step for step in plan)
