"""`sweep`: carry out a grid, or queue it. The same command goes on with what is missing."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from pruning.cli.catalogue import Catalogue
from pruning.cli.console import for_terminal, progress_bar, table
from pruning.cli.grids import read_grid
from pruning.cli.running import ABORTED
from pruning.errors import ExportError, RecipeError
from pruning.execution.backend import Backend
from pruning.execution.backends import made_backend
from pruning.execution.local_backend import WORKER
from pruning.execution.store.store import Store, default_home
from pruning.execution.sweep_progress import PlannedRun, counts, left_s, planned_runs, trial_of, trials
from pruning.files.atomic_write import write_whole
from pruning.reporting.formatting import duration, score_text
from pruning.reporting.literature import HEADS, published_beside, published_rows
from pruning.reporting.sweep_exports import means
from pruning.reporting.sweep_files import FILES, Results
from pruning.reporting.sweep_table import heads, rows, seeds_of
from pruning.run.interruption import stop_on_interrupt
from pruning.sweeps.expansion import Expansion, expand
from pruning.sweeps.grid import Grid, grid_to_json

SESSION = "command line"
WIDE = 200  # columns, where the table goes into a file
LOOK_S = 0.5
SOME_FAILED = 1
OWN_HOME = "runs"


@dataclass(frozen=True)
class Asked:
    """A sweep as the command line asks for it: the grid, what it comes to, where its runs are kept, who works on it."""

    grid: Grid
    found: Expansion
    home: Path
    command: Sequence[str]


def sweep(
    catalogue: Catalogue,
    grid_file: Path,
    out: Path,
    own: str | None,
    queue_only: bool,
    results_only: bool,
    as_json: bool,
) -> None:
    if queue_only and results_only:
        raise RecipeError("--queue and --results are two things to do instead of running; choose one")
    if own and queue_only:
        raise RecipeError(
            "--queue leaves the runs to a server, which knows the sample models only; run your own model without it"
        )
    question = asked(catalogue, read_grid(grid_file), out, own)
    screen = Console(stderr=True)
    for refused in question.found.refused:
        _say(screen, f"not run: {refused}")
    with closing(Store(question.home)) as store:
        stopped = False
        if queue_only:
            recipes = [planned.recipe for planned in question.found.runs]
            grid = question.grid
            new = store.sweeps.queue(grid.name, grid_to_json(grid), recipes, SESSION)
            _say(screen, f"{len(new)} runs queued for the server on {question.home}; the others were there already")
        elif not results_only:
            stopped = _carried_out(store, question, screen)
        runs = planned_runs(question.found.runs, store.runs())
        if not queue_only:
            _report(store, question, runs, out, screen, as_json)
    if stopped:
        _say(screen, "stopped; the same command goes on with what is missing")
        raise typer.Exit(ABORTED)
    if not (queue_only or results_only) and any(run.standing != "finished" for run in runs):
        raise typer.Exit(SOME_FAILED)  # the notes have said why


def asked(catalogue: Catalogue, grid: Grid, out: Path, own: str | None) -> Asked:
    """RecipeError if no run of the grid can be made, or a workload is not known."""
    if own:
        name = catalogue.open(own).name
        grid = replace(grid, base=replace(grid.base, workload=name))
        file, _, member = own.rpartition(":")
        reference = f"{Path(file).expanduser().resolve()}:{member}"
        command = (sys.executable, "-m", "pruning.cli.own_worker", reference)
        # apart from other runs: the workers of a server on the same home would not know the model
        return Asked(grid, expand(grid), out.resolve() / OWN_HOME, command)
    found = expand(grid)
    for planned in found.runs:
        if planned.recipe.workload not in catalogue.workloads:
            catalogue.find(planned.recipe.workload)
    return Asked(grid, found, default_home(), WORKER)


def _carried_out(store: Store, question: Asked, screen: Console) -> bool:
    """Work until every run is over; True if Ctrl-C ended it before. What runs then waits at its last checkpoint."""
    runs = planned_runs(question.found.runs, store.runs())
    if all(run.standing == "finished" for run in runs):
        _say(screen, f"all {len(runs)} runs were there already")
        return False
    with closing(made_backend(question.home, interactive=0, command=question.command)) as backend:
        new = backend.start_sweep(question.grid, SESSION)
        _say(screen, f"sweep {question.grid.name}: {len(runs)} runs, {len(new)} of them new, in {question.home}")
        with stop_on_interrupt(lambda: _say(screen, "stopping: runs that are going on are kept as they are")) as stop:
            return _watched(backend, question, screen, stop)


def _watched(backend: Backend, question: Asked, screen: Console, stop: Callable[[], bool]) -> bool:
    told = {run.row.id for run in _runs(backend, question) if run.row is not None and run.row.over}
    with progress_bar(screen) as bar:
        task = bar.add_task("starting", total=1.0, left="")
        while not stop():
            runs = _runs(backend, question)
            for run in runs:
                if run.row is not None and run.row.over and run.row.id not in told:
                    told.add(run.row.id)
                    _say(screen, _line(backend.store, run))
            _draw(bar, task, runs)
            if not any(run.standing in ("queued", "running") for run in runs):
                return False
            time.sleep(LOOK_S)
    return True


def _runs(backend: Backend, question: Asked) -> list[PlannedRun]:
    return planned_runs(question.found.runs, backend.store.runs())


def _line(store: Store, run: PlannedRun) -> str:
    """How a run ended."""
    assert run.row is not None
    if run.row.state != "finished":
        return f"{run.row.id} {run.row.state}: {run.row.sentence}"
    trial = trial_of(run.row, run.planned.role, store.milestones(run.row.id))
    score = f": {trial.metric.name} {score_text(trial.tuned.score, trial.metric)} (test)" if trial else ""
    return f"{run.row.id} finished{score}"


def _draw(bar: Progress, task: TaskID, runs: Sequence[PlannedRun]) -> None:
    over = sum(run.row is not None and run.row.over for run in runs)
    seconds = left_s(runs, counts(runs)["running"])
    left = "" if seconds is None else f"about {duration(seconds)} left"
    bar.update(task, completed=over / len(runs), description=f"{over} of {len(runs)} runs are over", left=left)


def _report(
    store: Store, question: Asked, runs: Sequence[PlannedRun], out: Path, screen: Console, as_json: bool
) -> None:
    """Write the files, print the table, and say what is not there."""
    results = Results(trials(runs, lambda row: store.milestones(row.id)))
    written = write_files(results, out, screen) if results.trials else {}
    if as_json:
        print(json.dumps(_summary(question, runs, results, written), allow_nan=False), flush=True)
    else:
        _print(results, screen)
        for path in written.values():
            _say(screen, f"wrote {path}")
    for run in runs:
        if run.row is not None and run.standing in ("failed", "stopped"):
            _say(screen, f"{run.row.id} {run.standing}: {run.row.sentence}")
    found = counts(runs)
    _say(screen, ", ".join(f"{count} {standing}" for standing, count in found.items() if count))


def write_files(results: Results, out: Path, screen: Console) -> dict[str, str]:
    """Name -> path of every file that could be written; a note says what it needs where one could not."""
    written: dict[str, str] = {}
    for name, content in FILES.items():
        try:
            write_whole(out / name, content(results))
        except ExportError as error:
            _say(screen, f"{name} is not written: {error}")
        else:
            written[name] = str(out / name)
    return written


def _summary(question: Asked, runs: Sequence[PlannedRun], results: Results, written: dict[str, str]) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "sweep": question.grid.name,
        "runs": dict(counts(runs)),
        "refused": [{"values": dict(each.values), "sentence": each.sentence} for each in question.found.refused],
        "same": dict(results.table.same),
        "groups": means(results.table),
        "published": [asdict(result) for result in published_beside(results.trials)],
        "artefacts": written,
    }


def _print(results: Results, screen: Console) -> None:
    console = Console(width=None if screen.is_terminal else WIDE)
    if not results.trials:
        console.print("no run is finished", highlight=False)
        return
    made = table(*heads(results.table), left=1 + len(results.table.columns))
    for row in rows(results.table):
        made.add_row(*row)
    console.print(made)
    console.print(seeds_of(results.table), highlight=False)
    if beside := published_beside(results.trials):
        made = table(*HEADS)
        for row in published_rows(beside):
            made.add_row(*row)
        console.print(made)


def _say(screen: Console, text: str) -> None:
    screen.print(for_terminal(text), markup=False, highlight=False, soft_wrap=True)
