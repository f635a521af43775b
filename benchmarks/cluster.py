"""Ray beside this machine's processes: the same map, the same runs, the same time; and a run that loses its worker.

Both backends stand ready with two workers for maps and two for runs, one thread each, and take turns.
"""

import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from benchmarks.report import Report, Target
from pruning.errors import JobError
from pruning.events import Measured, Resumed, Stage, StageMeasured
from pruning.execution.backend import Backend
from pruning.execution.local_backend import LocalBackend
from pruning.execution.settings import Limits
from pruning.execution.store.store import Store
from pruning.interactive.queries import open_workload, sensitivity
from pruning.layer_sensitivity.result import LEVELS, SensitivityRow
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Sparsity
from pruning.training.schedules import Polynomial
from pruning.training.tuning import Tuning

WORKERS = 2
RUNS = 8
REPEATS = 3
RECIPE = Recipe("mlp_128", amount=Sparsity(0.8), tuning=Tuning(epochs=1, batch_size=256))
LONGER = replace(RECIPE, schedule=Polynomial(2), tuning=Tuning(epochs=2, batch_size=256))
MAPPED = Recipe("lenet_300_100")
PATIENCE_S = 300.0
LIMITS = Limits(runs_per_session=RUNS, interactive_workers=WORKERS + 1, run_workers=WORKERS)


@dataclass(frozen=True)
class Outcome:
    """What a run came to. Stages are equal whatever the clock read."""

    sha256: str
    stages: tuple[Stage, ...]


@dataclass
class Seen:
    """What one backend came to in all repeats."""

    map_s: list[float] = field(default_factory=list[float])
    runs_s: list[float] = field(default_factory=list[float])
    maps: list[list[SensitivityRow]] = field(default_factory=list[list[SensitivityRow]])
    outcomes: list[list[Outcome]] = field(default_factory=list[list[Outcome]])


def measure() -> Report:
    """Seconds are medians of REPEATS."""
    try:
        from pruning.execution.ray_cluster.backend import RayBackend
    except ImportError:
        sys.exit("the benchmark ray needs Ray; run pip install -r requirements-ray.txt")
    with tempfile.TemporaryDirectory() as folder, _one_thread():
        begun = time.monotonic()
        with closing(RayBackend(Path(folder, "ray"), WORKERS + 1, limits=LIMITS)) as ray:
            connected_s = time.monotonic() - begun
            with closing(LocalBackend(Path(folder, "local"), WORKERS + 1, limits=LIMITS)) as local:
                seen = _take_turns({"local": local, "ray": ray})
                [undisturbed] = _carried_out(local, [LONGER])
            survivor, attempts = _with_its_worker_killed(ray)
    return _report(seen, connected_s, survivor == undisturbed, attempts)


def _take_turns(backends: Mapping[str, Backend]) -> dict[str, Seen]:
    recipes = [replace(RECIPE, seed=seed) for seed in range(RUNS)]
    for backend in backends.values():  # workers start and open what they work on
        for opened in backend.fan_out(open_workload, [(MAPPED.workload,)] * WORKERS):
            opened.result(PATIENCE_S)
        _carried_out(backend, recipes[:WORKERS])
    seen = {name: Seen() for name in backends}
    for repeat in range(REPEATS):
        for name, backend in backends.items():
            begun = time.monotonic()
            seen[name].maps.append(_map(backend, seed=repeat))  # another seed, so that nothing is remembered
            mapped = time.monotonic()
            seen[name].outcomes.append(_carried_out(backend, recipes))
            seen[name].map_s.append(mapped - begun)
            seen[name].runs_s.append(time.monotonic() - mapped)
            print(f"{name}: map {seen[name].map_s[-1]:.2f} s, runs {seen[name].runs_s[-1]:.2f} s", file=sys.stderr)
    return seen


def _map(backend: Backend, seed: int) -> list[SensitivityRow]:
    """The exact map, each worker making its part of the rows."""
    recipe = replace(MAPPED, seed=seed)
    parts = [(recipe, LEVELS, 0.0, PATIENCE_S, (part, WORKERS)) for part in range(WORKERS)]
    answers = [answer.result(PATIENCE_S) for answer in backend.fan_out(sensitivity, parts)]
    return [row for answer in answers for row in answer.rows]


def _carried_out(backend: Backend, recipes: Sequence[Recipe]) -> list[Outcome]:
    """Start all runs at once and wait until all are over."""
    runs = [backend.start(recipe, "benchmark", again=True) for recipe in recipes]
    return [_outcome(backend.store, run) for run in runs]


def _outcome(store: Store, run: str) -> Outcome:
    end = time.monotonic() + PATIENCE_S
    while not (row := store.run(run)).over:
        if time.monotonic() > end:
            raise JobError(f"run {run} is {row.state} after {PATIENCE_S:.0f} s; try again on an idle machine")
        time.sleep(0.02)
    if row.state != "finished":
        raise JobError(f"run {run} is {row.state}: {row.sentence}")
    [weights] = [file.sha256 for file in store.artefacts(run) if file.kind == "safetensors"]
    stages = [event.result for event in store.milestones(run) if isinstance(event, StageMeasured)]
    return Outcome(weights, tuple(stages))


def _with_its_worker_killed(backend: Backend) -> tuple[Outcome, int]:
    """The outcome of a run whose worker is killed after its first epoch, and the attempts that it took."""
    run = backend.start(LONGER, "benchmark", again=True)
    while not any(isinstance(event, Measured) for event in backend.store.milestones(run)):
        time.sleep(0.02)
    interactive = {answer.result(PATIENCE_S) for answer in backend.fan_out(process_id, [()] * WORKERS)}
    actors = [child for child in psutil.Process().children(recursive=True) if "Station" in child.name()]
    for actor in actors:
        if actor.pid not in interactive:
            actor.send_signal(signal.SIGKILL)
    outcome = _outcome(backend.store, run)
    if not any(isinstance(event, Resumed) for event in backend.store.milestones(run)):
        raise JobError(f"run {run} was over before its worker was killed; try again on an idle machine")
    return outcome, backend.store.run(run).attempt


def process_id(lab: object) -> int:
    return os.getpid()


def _report(seen: Mapping[str, Seen], connected_s: float, survived: bool, attempts: int) -> Report:
    local, ray = seen["local"], seen["ray"]
    map_s = {name: statistics.median(each.map_s) for name, each in seen.items()}
    runs_s = {name: statistics.median(each.runs_s) for name, each in seen.items()}
    rows = [
        {
            "backend": name,
            "map, median (s)": map_s[name],
            "map, spread (s)": max(each.map_s) - min(each.map_s),
            f"{RUNS} runs, median (s)": runs_s[name],
            f"{RUNS} runs, spread (s)": max(each.runs_s) - min(each.runs_s),
        }
        for name, each in seen.items()
    ]
    figures = {
        "Ray: until connected (s)": connected_s,
        "map: Ray's time over local": map_s["ray"] / map_s["local"],
        f"{RUNS} runs: Ray's time over local": runs_s["ray"] / runs_s["local"],
        "maps equal": float(local.maps == ray.maps),
        "runs equal": float(local.outcomes == ray.outcomes),
        "run with its worker killed: equal to an undisturbed one": float(survived),
        "run with its worker killed: attempts": float(attempts),
    }
    yes = Target(at_least=1.0)
    return Report(
        figures,
        {
            f"{RUNS} runs: Ray's time over local": Target(at_most=1.25),
            "maps equal": yes,
            "runs equal": yes,
            "run with its worker killed: equal to an undisturbed one": yes,
        },
        rows,
    )


@contextmanager
def _one_thread() -> Generator[None]:
    """Workers of both backends inherit it."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
