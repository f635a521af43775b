"""`run`: carry out a recipe with a progress bar; Ctrl-C stops it and keeps what there is."""

import json
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import typer
from rich.console import Console

from pruning.api.teacher import with_teacher
from pruning.cli.catalogue import Catalogue
from pruning.cli.console import fail, for_terminal, print_stages, progress_bar
from pruning.cli.lines import event_line
from pruning.errors import PruningError, RecipeError, out_of_memory
from pruning.events import Event, Searching, TuningStep
from pruning.metric import Metric
from pruning.recipe.recipe import Recipe, from_json
from pruning.reporting.formatting import duration, percent, si
from pruning.reporting.run_progress import progress
from pruning.reporting.run_summary import STAGES, leaves_out, share_of_all
from pruning.run.experiment import RunResult, carry_out
from pruning.run.interruption import stop_on_interrupt
from pruning.workload import metric_of

NOT_VERIFIED = 1
ABORTED = 130
REDRAW_S = 0.2
STAGE_FIELDS = ("score", "validation", "samples", "parameters", "nonzero", "macs", "bytes", "gzip_bytes", "latency_ms")


def run(
    catalogue: Catalogue,
    recipe_file: Path,
    out: Path,
    own: str | None,
    teacher: str | None,
    device: torch.device,
    as_json: bool,
) -> None:
    """`own` and `teacher` are what the command line names, else the recipe names them."""
    recipe = read_recipe(recipe_file)
    workload = catalogue.open(own) if own else catalogue.find(recipe.workload)
    # what is written down is what was done: another workload makes another recipe, with another name
    recipe = replace(recipe, workload=workload.name)
    if teacher is not None:
        workload, recipe = with_teacher(workload, recipe, teacher)
    source = catalogue.source(own or workload.name)
    screen = Console(stderr=True)
    try:
        with graceful_stop(screen) as stop:
            events = carry_out(workload, recipe, out.resolve(), source, stop, device)
            result = _watched(events, screen, recipe.name, metric_of(workload.task))
    except KeyboardInterrupt:
        screen.print("aborted; the run is not kept")
        raise typer.Exit(ABORTED) from None
    except (PruningError, typer.Exit):
        raise
    except Exception as error:
        if out_of_memory(error):
            fail(f"the run needs more memory than there is; lower tuning.batch_size (it is {recipe.tuning.batch_size})")
        raise
    shown = screen if as_json else Console()
    print_stages(result.stages, result.metric, shown)
    if result.values is not None and leaves_out(result.values):
        part = f"{percent(result.values.pruned / result.values.prunable)} of {si(result.values.prunable)}"
        shown.print(f"pruned: {part} prunable parameters{share_of_all(result.values)}", highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps(summary(result), allow_nan=False), flush=True)
    if result.verified is None or not result.verified.same:
        raise typer.Exit(NOT_VERIFIED)  # the notes have said why


def read_recipe(file: Path) -> Recipe:
    """The recipe in the file. RecipeError names the file where it cannot be read, and the field where that is wrong."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(
            f"{file}: no such file; `python -m pruning recipe MODEL > RECIPE.json` writes one to start from"
        ) from None
    except UnicodeDecodeError:
        raise RecipeError(f"{file} is not a text in UTF-8; save the recipe as UTF-8") from None
    except OSError as error:
        raise RecipeError(f"{file} cannot be read ({error.strerror}); name a recipe file") from error
    try:
        return from_json(text)
    except RecipeError as error:
        raise RecipeError(f"{file}: {error}") from error


def summary(result: RunResult) -> dict[str, Any]:
    """What `--json` prints. A stage that there is not is null."""
    # not every run repairs; that the others are null says that it did not come so far
    names = [name for name in STAGES if name != "repaired" or name in result.stages]
    stages = {name: result.stages.get(name) for name in names}
    return {
        "run": result.run,
        "workload": result.workload,
        "device": result.device,
        "metric": asdict(result.metric),
        "stages": {
            name: {field: getattr(stage, field) for field in STAGE_FIELDS} if stage else None
            for name, stage in stages.items()
        },
        "artefacts": dict(result.artefacts),
    }


def graceful_stop(screen: Console) -> AbstractContextManager[Callable[[], bool]]:
    """Gives a function that is true after Ctrl-C; a second Ctrl-C raises KeyboardInterrupt."""
    return stop_on_interrupt(
        lambda: screen.print("stopping: what there is by now is measured and kept; Ctrl-C again aborts")
    )


def _watched(events: Generator[Event, None, RunResult], screen: Console, run: str, metric: Metric) -> RunResult:
    """Show the events as they come and return what the run came to."""
    begun = drawn = time.monotonic()
    seen: list[Event] = []
    with progress_bar(screen) as bar, closing(events):
        task = bar.add_task("starting", total=1.0, left="")
        try:
            while True:
                event = next(events)
                seen.append(event)
                if len(seen) == 1:
                    screen.print(f"run {run}", highlight=False)
                if text := event_line(event, metric):
                    screen.print(for_terminal(text), markup=False, highlight=False, soft_wrap=True)
                now = time.monotonic()
                if now - drawn < REDRAW_S and isinstance(event, TuningStep | Searching):
                    continue
                drawn = now
                at = progress(seen, now - begun)
                left = "" if at.seconds_left is None else f"{duration(at.seconds_left)} left"
                bar.update(task, completed=at.fraction, description=at.phase, left=left)
        except StopIteration as end:
            return end.value
