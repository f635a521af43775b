"""Sweeps in the store: nothing is run twice, and two hundred runs of one person keep nobody waiting."""

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pruning.errors import JobError
from pruning.events import Failed, Finished, Stage, StageMeasured, Started
from pruning.execution.local_backend import LocalBackend
from pruning.execution.settings import Limits
from pruning.execution.store.store import Store
from pruning.execution.sweep_progress import PlannedRun, counts, left_s, planned_runs, trials
from pruning.recipe.recipe import Recipe
from pruning.sweeps.expansion import expand
from pruning.sweeps.grid import Grid, grid_from_json, grid_to_json
from tests.execution.leasing import OTHER, RECIPE, claimed
from tests.execution.tiny_worker import QUICK
from tests.execution.waiting import eventually

GRID = Grid(Recipe("mlp"), {"amount.share": (0.5, 0.7), "seed": (0, 1)}, ())
RECIPES = [planned.recipe for planned in expand(GRID).runs]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def queue(store: Store, recipes: list[Recipe] = RECIPES, session: str = "s") -> list[str]:
    return store.sweeps.queue(GRID.name, grid_to_json(GRID), recipes, session)


def test_a_recipe_that_is_finished_running_or_queued_is_not_run_again(store: Store):
    done, running, failed, queued = RECIPES
    for recipe, end in ((done, Finished(False, 1.0)), (running, None), (failed, Failed("no"))):
        store.create(recipe, "another")
        lease = claimed(store)
        if end is not None:
            store.leases.finish(lease, end)
    store.create(queued, "another")
    assert [store.run(run).recipe for run in queue(store)] == [failed]
    assert queue(store) == []


def test_a_sweep_is_kept_with_its_grid_until_it_is_forgotten(store: Store):
    queue(store)
    queue(store)
    (kept,) = store.sweeps.all()
    assert grid_from_json(kept.grid_json) == GRID and kept.name == GRID.name and kept.title == ""
    store.sweeps.rename(GRID.name, " seeds ")
    assert store.sweeps.all()[0].title == "seeds"
    assert len(store.sweeps.queued(GRID.name)) == 4 and store.sweeps.queued("other") == []
    store.sweeps.forget(GRID.name)
    assert store.sweeps.all() == [] and len(store.runs()) == 4


def test_a_long_sweep_gives_way_to_others_and_to_its_own_sessions_runs(store: Store):
    many = [replace(RECIPE, seed=seed) for seed in range(1, 200)]
    first, second, *_ = queue(store, many)
    own = [store.create(OTHER, "s") for _ in range(2)]
    theirs = [store.create(RECIPE, "t") for _ in range(2)]
    assert store.queue()[:6] == [own[0], theirs[0], own[1], theirs[1], first, second]
    claimed(store)  # own[0]
    late = store.create(OTHER, "u")
    assert set(store.queue()[:2]) == {theirs[0], late}


def test_a_sweeps_runs_do_not_count_as_single_runs_and_have_a_limit_of_their_own(tmp_path: Path):
    store = Store(tmp_path, Limits(runs_per_session=1, sweep_runs=4))
    queue(store)
    store.create(OTHER, "s")
    with pytest.raises(JobError, match="1 of your runs are queued or running and 1 is the most"):
        store.create(OTHER, "s")
    with pytest.raises(JobError, match=r"1 runs would be queued, 4 of your sweeps' runs are waiting and 4 is the most"):
        queue(store, [replace(RECIPE, seed=9)])
    assert len(queue(store, [replace(RECIPE, seed=9)], session="t")) == 1


def test_the_best_run_of_a_recipe_stands_for_it(store: Store):
    store.create(RECIPES[0], "s")
    store.create(RECIPES[0], "s")
    store.leases.finish(claimed(store), Finished(False, 1.0))
    store.leases.finish(claimed(store), Failed("no"))
    queue(store, RECIPES[:3])
    runs = planned_runs(expand(GRID).runs, store.runs())
    assert [run.standing for run in runs] == ["finished", "queued", "queued", "missing"]
    assert counts(runs) == {"finished": 1, "running": 0, "queued": 2, "failed": 0, "stopped": 0, "missing": 1}
    again = store.create(RECIPES[1], "s")
    assert planned_runs(expand(GRID).runs, store.runs())[1].row == store.run(again)  # of equally good ones the newest
    store.request_stop(again)
    store.request_stop(runs[1].row.id)  # type: ignore[union-attr]
    assert planned_runs(expand(GRID).runs, store.runs())[1].standing == "stopped"


def test_what_finished_runs_came_to(store: Store):
    queue(store)
    dense, tuned = Stage(0.9, 0.9, 100, 80, 80, 64, 800, 500), Stage(0.8, 0.8, 100, 80, 40, 64, 800, 300)
    for measured in (True, False):
        lease = claimed(store)
        if measured:
            begun = Started("mlp", "cpu", 1, 1, ())
            store.leases.append(lease, begun, StageMeasured("dense", dense), StageMeasured("tuned", tuned))
        store.leases.finish(lease, Finished(False, 7.5))
    (trial,) = trials(planned_runs(expand(GRID).runs, store.runs()), lambda row: store.milestones(row.id))
    assert (trial.dense, trial.tuned, trial.seconds, trial.role) == (dense, tuned, 7.5, "grid")
    assert trial.recipe["amount"] == {"kind": "sparsity", "share": 0.5}


def test_a_run_stands_beside_the_dense_control_of_its_own_seed(store: Store):
    grid = Grid(Recipe("mlp"), {"criterion": ("magnitude", "taylor"), "seed": (0, 1)}, ("dense",))
    planned = expand(grid).runs
    store.sweeps.queue(grid.name, grid_to_json(grid), [each.recipe for each in planned], "s")
    for place, each in enumerate(planned):
        lease = claimed(store)
        measured = StageMeasured("tuned", Stage(0.5 + place / 10, 0.8, 100, 80, 40, 64, 800, 300))
        store.leases.append(lease, StageMeasured("dense", measured.result), measured)
        assert store.run(lease.run).recipe == each.recipe
        store.leases.finish(lease, Finished(False, 7.5))
    found = trials(planned_runs(planned, store.runs()), lambda row: store.milestones(row.id))
    scores = [(trial.role, trial.recipe["seed"], trial.control and trial.control.score) for trial in found]
    # the first seed comes first: two of the grid and their control, at the third place
    assert scores == [
        ("grid", 0, 0.7), ("grid", 0, 0.7), ("dense", 0, None), ("grid", 1, 1.0), ("grid", 1, 1.0), ("dense", 1, None),
    ]  # fmt: skip


def test_how_long_it_takes_is_the_pace_of_what_is_over(store: Store):
    queue(store)
    runs = planned_runs(expand(GRID).runs, store.runs())
    assert left_s(runs, 1) is None
    row = replace(runs[0].row, state="finished", started=10.0, finished=14.0, seconds=4.0)
    runs = [PlannedRun(runs[0].planned, row), *runs[1:]]
    assert left_s(runs, 1) == 12.0 and left_s(runs, 2) == 6.0 and left_s(runs, 0) == 12.0


def test_workers_carry_out_a_sweep_and_a_second_start_goes_on_with_what_is_missing(tmp_path: Path):
    grid = Grid(QUICK, {"seed": (0, 1)}, ("random",))
    command = (sys.executable, "-m", "tests.execution.tiny_worker")
    with closing(LocalBackend(tmp_path, interactive=0, command=command)) as backend:
        assert len(backend.start_sweep(grid, "s")) == 4
        eventually(lambda: len(backend.store.runs(("finished",))) == 4, seconds=60)
        wider = replace(grid, vary={"seed": (0, 1, 2)})
        assert len(backend.start_sweep(wider, "s")) == 2
