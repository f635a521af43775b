"""A whole run: prune, write what a person takes home, prove that the files score what the network scored, report."""

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch

from pruning.errors import ExportError, no_room, out_of_memory
from pruning.events import Event, Exported, Finished, PrunedValues, Resumed, Stage, StageMeasured, Verified, Warned
from pruning.exporters import Record, export, kinds_of, missing_packages, require_writable
from pruning.exporters.verification import differences, score_files_afresh
from pruning.exporters.workload_source import WorkloadSource
from pruning.metric import ACCURACY, Metric
from pruning.model.devices import default_device, device_name
from pruning.model.module_sizes import saved_tensors
from pruning.recipe.recipe import Recipe
from pruning.reporting.run_summary import stages_of, values_of
from pruning.run import checkpoints as kept
from pruning.run.automatic import with_found_amount
from pruning.run.checkpoints import Checkpoint, CheckpointError
from pruning.run.context import Stop
from pruning.run.engine import PruneResult, prune
from pruning.run.state import RunState, Save
from pruning.workload import Workload, metric_of

WEIGHTS = ("safetensors", "pt")
"""The artefacts that hold the network: these are loaded and scored again."""
PATIENCE_S = 120.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class RunResult:
    """What a run came to. `verified` is None where the files could not be scored again; the warnings say why.

    `values` is None where nothing was pruned.
    """

    run: str
    workload: str
    device: str
    stages: Mapping[str, Stage]
    artefacts: Mapping[str, str]
    verified: Verified | None
    stopped: bool
    values: PrunedValues | None
    metric: Metric = ACCURACY


def carry_out(
    workload: Workload,
    recipe: Recipe,
    out: Path,
    source: WorkloadSource,
    stop: Stop = lambda: False,
    device: torch.device | None = None,
    checkpoints: Path | None = None,
) -> Generator[Event, None, RunResult]:
    """Carry out the recipe and write the artefacts into the folder `out`; the last event is Finished.

    `source` is where a fresh process gets the workload. Once `stop` is true the network as it is by then is exported.
    `checkpoints` is a folder of this run alone, which the caller discards after the end: a run of the same recipe that
    finds a checkpoint there goes on from it, and its first event is Resumed. ExportError, before anything is trained,
    if `out` cannot be written to.
    """
    begun = time.monotonic()
    require_writable(out)
    device = device or default_device()
    torch.manual_seed(recipe.seed)  # building a network may draw from the global generator
    log: list[Event] = []
    found = None
    if checkpoints is not None:
        found = yield from _noted(log, _taken_up(checkpoints, recipe, log))
    begun -= found.seconds if found else 0.0
    keeper = _Keeper(checkpoints, recipe, log, begun)
    pruning = prune_within_memory(workload, recipe, device, stop, found, keeper)
    carried_out, pruned = yield from _noted(log, pruning)
    artefacts, verified = yield from export_verified(workload, carried_out, pruned, device, out, source, log, begun)
    return RunResult(
        run=recipe.name,
        workload=workload.name,
        device=device_name(device),
        stages=stages_of(log),
        artefacts=artefacts,
        verified=verified,
        stopped=pruned.stopped,
        values=values_of(log),
        metric=metric_of(workload.task),
    )


def export_verified(
    workload: Workload,
    recipe: Recipe,
    pruned: PruneResult,
    device: torch.device,
    out: Path,
    source: WorkloadSource,
    log: list[Event],
    begun: float,
) -> Generator[Event, None, tuple[Mapping[str, str], Verified | None]]:
    """Write what a person takes home into the folder `out` and score it again in a fresh process.

    `log` holds the events of the run, which began at the monotonic time `begun`; what happens here is added to it. The
    last event is Finished. Returns kind -> file, and None where the files could not be scored: a warning says why.
    """

    def record() -> Record:
        return Record(workload, recipe, pruned.model, device_name(device), tuple(log), pruned.sizes, source)

    kinds = [kind for kind in kinds_of(record()) if kind != "report"]
    artefacts = {kind: str(export(kind, record(), out)) for kind in kinds}
    timeout_s = PATIENCE_S + 10 * (time.monotonic() - begun)  # the run itself scored both splits at least three times
    files = [Path(artefacts[kind]) for kind in WEIGHTS]
    verifying = _verified(pruned, files, source, device, timeout_s, metric_of(workload.task))
    verified = yield from _noted(log, verifying)
    if missing := missing_packages():
        warning = Warned(
            f"report.html is not written: it needs {' and '.join(missing)}; run pip install 'pruning-explorer[app]'"
        )
        log.append(warning)
        yield warning
    # the report tells of the end too, so the end is written down before it
    finished = Finished(pruned.stopped, time.monotonic() - begun)
    log.append(finished)
    if not missing:
        artefacts["report"] = str(export("report", record(), out))
    yield Exported(artefacts)
    yield finished
    return artefacts, verified


@dataclass(frozen=True, eq=False)
class _Keeper:
    """Writes checkpoints of a run that began at `begun`, a monotonic time. `log` grows while the run goes on."""

    folder: Path | None
    recipe: Recipe
    log: list[Event]
    begun: float

    def saving(self, carried_out: Recipe) -> Save:
        """Writes down how far the run of the recipe `carried_out` has come; says so once if it cannot."""

        def save(progress: RunState) -> Generator[Event, None, None]:
            if self.folder is None:
                return
            seconds = time.monotonic() - self.begun
            checkpoint = Checkpoint(self.recipe, carried_out, tuple(self.log), seconds, progress)
            try:
                kept.write(self.folder, checkpoint)
            except ExportError as error:
                if no_room(error):
                    raise  # the run waits for room, and goes on from the checkpoint that is there
                reason = error.__cause__.strerror if isinstance(error.__cause__, OSError) else "no reason was given"
                warning = Warned(f"no checkpoint can be written ({reason}): an interruption would cost what was done")
                if warning not in self.log:
                    yield warning

        return save


def _taken_up(folder: Path, recipe: Recipe, log: list[Event]) -> Generator[Event, None, Checkpoint | None]:
    """The checkpoint that the run goes on from, if any; what the run had said by then is put into the log."""
    try:
        found = kept.read(folder, recipe)
    except CheckpointError as error:
        yield Warned(f"{error}: the run begins anew")
        return None
    if found is not None:
        log.extend(found.events)
        yield Resumed(len(found.events), found.progress.cut.number, found.progress.step)
    return found


def prune_within_memory(
    workload: Workload,
    asked: Recipe,
    device: torch.device,
    stop: Stop = lambda: False,
    found: Checkpoint | None = None,
    keeper: _Keeper | None = None,
) -> Generator[Event, None, tuple[Recipe, PruneResult]]:
    """Prune; where memory does not suffice, once more with half the batch. An automatic amount is searched for first.

    Returns the recipe with the batch that was taken; it says the amount as it was asked for, and the events say which
    was found. A checkpoint has that: a run that goes on from one, or begins again, does not search again.
    """

    def save(carried_out: Recipe) -> Save:
        return keeper.saving(carried_out) if keeper else lambda _: ()

    if found:
        recipe, progress = found.carried_out, found.progress
    else:
        recipe, progress = (yield from with_found_amount(workload, asked, device, stop)), None
    try:
        pruned = yield from prune(workload, recipe, device, stop, progress, save(recipe))
        return replace(asked, tuning=recipe.tuning), pruned
    except (MemoryError, RuntimeError) as error:
        half = asked.tuning.batch_size // 2
        if not out_of_memory(error) or half < 2 or recipe.tuning != asked.tuning:
            raise
    # outside the handler: the error's traceback would hold on to the tensors
    yield Warned(f"out of memory: beginning again with tuning.batch_size {half} instead of {asked.tuning.batch_size}")
    smaller = replace(asked.tuning, batch_size=half)
    recipe = replace(recipe, tuning=smaller)
    pruned = yield from prune(workload, recipe, device, stop, None, save(recipe))
    return replace(asked, tuning=smaller), pruned


def _verified(
    pruned: PruneResult,
    files: list[Path],
    source: WorkloadSource,
    device: torch.device,
    timeout_s: float,
    metric: Metric,
) -> Generator[Event, None, Verified | None]:
    """Score the files in a fresh process, as the stage `exported`. Nothing is called verified that is not the same."""
    tuned = pruned.stages["tuned"]
    try:
        found = score_files_afresh(files, source, device, timeout_s)
    except ExportError as error:
        yield Warned(f"not verified: {error}; the files are kept")
        return None
    exported = found[0].stage
    yield StageMeasured("exported", exported)
    differ = differences(tuned, saved_tensors(pruned.model, pruned.sizes), found, metric)
    for sentence in differ:
        yield Warned(f"not verified: {sentence}; the files are kept")
    verified = Verified(tuned.score, exported.score, same=not differ)
    yield verified
    return verified


def _noted(log: list[Event], source: Generator[Event, None, _T]) -> Generator[Event, None, _T]:
    """The same events and result, each event written into the log as it passes."""
    try:
        while True:
            event = next(source)
            log.append(event)
            yield event
    except StopIteration as end:
        return end.value
    finally:
        source.close()
