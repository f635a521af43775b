"""A worker with tiny workloads, and recipes for its runs: `python -m tests.execution.tiny_worker`.

It differs from `pruning.execution.worker_main` in its table of workloads, and in runs that save the model
without verifying it in yet another process.
"""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch

from pruning.errors import ExportError
from pruning.events import Event, Exported, Finished, Warned
from pruning.execution.call_worker import serve_calls
from pruning.execution.run_worker import CarryOut, serve_runs
from pruning.execution.store.store import Store
from pruning.execution.worker_main import forked_worker, report
from pruning.exporters.workload_source import Called
from pruning.recipe.recipe import Recipe
from pruning.run import engine
from pruning.run import experiment as runs
from pruning.run.engine import prune
from pruning.training.schedules import Polynomial
from pruning.training.tuning import Tuning
from pruning.workload import Workload, Workloads
from tests.networks import tiny

engine.guessing = lambda *_: ""  # the tiny networks are as they were drawn, and guess

QUICK = Recipe("mlp", tuning=Tuning(epochs=1, batch_size=50))
LONG = Recipe("mlp", schedule=Polynomial(rounds=2), tuning=Tuning(epochs=100_000, batch_size=50))
WHOLE = Recipe("whole", schedule=Polynomial(rounds=2), tuning=Tuning(epochs=5, batch_size=50))
TORN = replace(WHOLE, workload="torn")
NAMES = ("mlp", "no_memory", "bug", "deadly", "children", "counting", "whole", "torn", "hungry")
WORKLOADS = {name: lambda: tiny("mlp") for name in NAMES}
"""All the same; the names say what the run does beside, or instead of, pruning.

`whole` is the product's own run, but for the verification; `torn` too, and its worker is killed in the ninth epoch.
"""


def carry_out(
    workload: Workload, recipe: Recipe, out: Path, reference: str, stop: Callable[[], bool], *, checkpoints: Path
) -> Generator[Event, None, None]:
    """The engine's events, the model as a file, the end."""
    if recipe.workload in ("whole", "torn"):
        with mock.patch.object(runs, "score_files_afresh", side_effect=ExportError("the tests do not wait for it")):
            for event in runs.carry_out(
                workload,
                recipe,
                out,
                Called("tests.networks", "tiny", ("mlp",)),
                stop,
                torch.device("cpu"),
                checkpoints=checkpoints,
            ):
                yield event
                if recipe.workload == "torn" and checkpoints.name == "1" and getattr(event, "step", 0) == 51:
                    os.kill(os.getpid(), signal.SIGKILL)
        return
    if recipe.workload == "no_memory":
        torch.empty(2**60)
    if recipe.workload == "hungry":
        kept = [torch.ones(2**18) for _ in range(2000)]
        time.sleep(600)
        del kept
    if recipe.workload == "bug":
        raise ZeroDivisionError("division by zero")
    if recipe.workload == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    if recipe.workload == "children":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        yield Warned(f"pids {os.getpid()} {child.pid}")
        child.wait()
    if recipe.workload == "counting":
        attempt = len(list(checkpoints.iterdir())) + 1
        (checkpoints / str(attempt)).touch()
        yield Warned(f"attempt {attempt} {os.getpid()}")
    yield Warned(f"pid {os.getpid()}")
    pruned = yield from prune(workload, recipe, torch.device("cpu"), stop)
    out.mkdir(parents=True, exist_ok=True)
    torch.save(pruned.model.state_dict(), out / "model.pt")
    yield Exported({"pt": str(out / "model.pt")})
    yield Finished(pruned.stopped, 0.0)


def equipment() -> tuple[Workloads, CarryOut]:
    """The same for a worker on a node of a cluster."""
    return WORKLOADS, carry_out


def main() -> None:
    link = report()
    if link.kind == "forks":
        link = forked_worker(link)
    torch.set_num_threads(1)
    gc.freeze()
    if link.kind != "runs":
        serve_calls(link, WORKLOADS)
    else:
        serve_runs(link, Store(link.home).leases, WORKLOADS, carry_out)


if __name__ == "__main__":
    main()
