"""`halve`: find the best setting of a grid within a time limit. The same command goes on where it was."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from pruning.cli.catalogue import Catalogue
from pruning.cli.console import for_terminal, progress_bar, table
from pruning.cli.grids import read_grid
from pruning.cli.running import ABORTED
from pruning.cli.searching import goal_of
from pruning.cli.sweeping import LOOK_S, OWN_HOME, SESSION
from pruning.errors import PruningError
from pruning.execution.backend import Backend
from pruning.execution.backends import made_backend
from pruning.execution.local_backend import WORKER
from pruning.execution.store.records import HalvingRow
from pruning.execution.store.store import default_home
from pruning.files.atomic_write import require_writable, write_whole
from pruning.halving.halving import Halving, keeps_to_limits
from pruning.halving.result import Entry, Ranking, ranking_from_json
from pruning.metric import Metric
from pruning.recipe.recipe import to_dict
from pruning.reporting.formatting import bare_change, duration, percent, score_text
from pruning.reporting.halving_rows import standing_words, values_words
from pruning.run.interruption import stop_on_interrupt
from pruning.selection.goal import Goal
from pruning.workload import metric_of

NAMES = {"json": "halving.json", "recipe": "found.recipe.json"}


def halve(
    catalogue: Catalogue,
    grid_file: Path,
    out: Path,
    own: str | None,
    minutes: float,
    limits: tuple[str, float | None, float | None],
    rungs: int,
    as_json: bool,
) -> None:
    """`limits`: the cost, how much of it may be left, and how many points may be lost."""
    require_writable(out)
    grid, command, home = read_grid(grid_file), WORKER, default_home()
    if own:
        workload = catalogue.open(own)
        grid = replace(grid, base=replace(grid.base, workload=workload.name))
        file, _, member = own.rpartition(":")
        reference = f"{Path(file).expanduser().resolve()}:{member}"
        command, home = (sys.executable, "-m", "pruning.cli.own_worker", reference), out.resolve() / OWN_HOME
    else:
        workload = catalogue.find(grid.base.workload)
    halving = Halving(grid, len(workload.train), _goal(limits, metric_of(workload.task)), rungs)
    screen = Console(stderr=True)
    with closing(made_backend(home, interactive=0, command=command)) as backend:
        name = backend.start_halving(halving, SESSION, 60 * minutes)
        _say(screen, f"halving {name}: {grid.combinations} settings, {minutes:g} minutes, in {home}")
        with stop_on_interrupt(lambda: _say(screen, "stopping: what was found is kept")) as stop:
            row = _watched(backend, name, screen, stop)
    ranking = ranking_from_json(row.ranking_json)
    _report(halving, row, ranking, out, screen, as_json)
    if row.state == "stopped":
        raise typer.Exit(ABORTED)


def _goal(limits: tuple[str, float | None, float | None], metric: Metric) -> Goal | None:
    """What is compared; None, the score alone, where no limit is said."""
    cost, budget, max_drop = limits
    return None if budget is None and max_drop is None else goal_of(cost, budget, max_drop, metric)


def _watched(backend: Backend, name: str, screen: Console, stop: Callable[[], bool]) -> HalvingRow:
    """Wait until the halving is over; a line for every setting that ends."""
    told: set[int] = set()
    with progress_bar(screen) as bar:
        task = bar.add_task("starting", total=1.0, left="")
        while True:
            row = backend.store.halvings.one(name)
            ranking = ranking_from_json(row.ranking_json)
            over = [entry for entry in ranking.entries if entry.state != "going on"]
            for entry in sorted(over, key=lambda entry: entry.number):
                if entry.number not in told:
                    told.add(entry.number)
                    _say(screen, f"{values_words(entry)}: {standing_words(entry, is_open=True)}")
            words = f"{len(over)} settings are over, {len(ranking.entries) - len(over)} go on"
            left = f"at most {duration(max(row.ends - time.time(), 0.0))} left"
            share = len(over) / max(ranking.combinations - len(ranking.refused), 1)
            bar.update(task, completed=share, description=words, left=left)
            if row.state != "open":
                return row
            if stop():
                backend.stop_halving(name)
            time.sleep(LOOK_S)


def _report(halving: Halving, row: HalvingRow, ranking: Ranking, out: Path, screen: Console, as_json: bool) -> None:
    """Print the table, write the best recipe."""
    best = ranking.best
    if best is None:
        sentences = sorted({entry.sentence for entry in ranking.entries if entry.sentence})
        raise PruningError(f"no run is over ({'; '.join(sentences) or row.sentence}); give it more minutes")
    written = _write(halving, row, ranking, best, out)
    if as_json:
        print(json.dumps({**_summary(halving, row, ranking, best), "artefacts": written}, allow_nan=False), flush=True)
        return
    made = table("setting", "validation", "change", f"{_cost(halving)} left", "training", "", left=1)
    for entry in ranking.entries:
        made.add_row(values_words(entry), *_numbers(halving, entry), standing_words(entry, is_open=False))
    Console(width=None if screen.is_terminal else 200).print(made)
    for values, sentence in ranking.refused:
        _say(screen, f"not run: {values_words(Entry(0, values))}: {sentence}")
    score = best.scores[-1]
    whole = "" if len(best.scores) == halving.rungs else ", with a shorter training than the recipe's"
    limits = "" if keeps_to_limits(score.worth) else "; it does NOT keep to what was asked"
    lost = f"{score_text(score.validation, score.metric)} on validation{whole}{limits}"
    print(for_terminal(f"Best: {values_words(best)}: {lost}. {row.sentence}."))
    for path in written.values():
        _say(screen, f"wrote {path}")


def _numbers(halving: Halving, entry: Entry) -> tuple[str, str, str, str]:
    if not entry.scores:
        return "–", "–", "–", "–"
    score = entry.scores[-1]
    metric = score.metric
    change = -score.drop if metric.better == "higher" else score.drop
    trained = halving.shares[len(entry.scores) - 1]
    return score_text(score.validation, metric), bare_change(change, metric, 2), percent(score.left), percent(trained)


def _cost(halving: Halving) -> str:
    return "parameters" if halving.goal is None else halving.goal.cost


def _summary(halving: Halving, row: HalvingRow, ranking: Ranking, best: Entry) -> dict[str, Any]:
    return {
        "version": 1,
        "halving": row.name,
        "state": row.state,
        "sentence": row.sentence,
        "shares": halving.shares,
        "best": {**asdict(best), "recipe": to_dict(halving.recipe(best.values, halving.rungs - 1))},
        **asdict(ranking),
    }


def _write(halving: Halving, row: HalvingRow, ranking: Ranking, best: Entry, out: Path) -> Mapping[str, str]:
    """All settings, and the recipe of the best one with its whole training. Kind -> path."""
    about = "The best setting of a grid by successive halving. Carry out: python -m pruning run THIS_FILE --out DIR"
    noted = {"//": about, **to_dict(halving.recipe(best.values, halving.rungs - 1))}
    contents = {"json": _summary(halving, row, ranking, best), "recipe": noted}
    for kind, values in contents.items():
        write_whole(out / NAMES[kind], json.dumps(values, allow_nan=False, indent=1, ensure_ascii=False).encode())
    return {kind: str(out / NAMES[kind]) for kind in contents}


def _say(screen: Console, text: str) -> None:
    screen.print(for_terminal(text), markup=False, highlight=False, soft_wrap=True)
