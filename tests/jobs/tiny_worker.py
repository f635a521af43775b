"""A worker with tiny workloads, and recipes for its runs: `python -m tests.jobs.tiny_worker`.

It differs from `pruning.jobs.worker` in its table of workloads, and in runs that save the model without verifying it in
yet another process.
"""

import gc
import os
from collections.abc import Callable, Generator
from pathlib import Path

import torch

from pruning.engine import prune
from pruning.events import Event, Exported, Finished, Warned
from pruning.jobs.answering import serve_calls
from pruning.jobs.serving import serve_runs
from pruning.jobs.worker import report
from pruning.recipe import Recipe
from pruning.schedules import Polynomial
from pruning.tuning import Tuning
from pruning.workload import Workload
from tests.networks import tiny

QUICK = Recipe("mlp", tuning=Tuning(epochs=1, batch_size=50))
LONG = Recipe("mlp", schedule=Polynomial(rounds=2), tuning=Tuning(epochs=100_000, batch_size=50))
WORKLOADS = {"mlp": lambda: tiny("mlp"), "no_memory": lambda: tiny("mlp"), "bug": lambda: tiny("mlp")}


def carry_out(
    workload: Workload, recipe: Recipe, out: Path, reference: str, stop: Callable[[], bool]
) -> Generator[Event, None, None]:
    """The engine's events, the model as a file, the end."""
    if recipe.workload == "no_memory":
        torch.empty(2**60)
    if recipe.workload == "bug":
        raise ZeroDivisionError("division by zero")
    yield Warned(f"pid {os.getpid()}")
    pruned = yield from prune(workload, recipe, torch.device("cpu"), stop)
    out.mkdir(parents=True)
    torch.save(pruned.model.state_dict(), out / "model.pt")
    yield Exported({"pt": str(out / "model.pt")})
    yield Finished(pruned.stopped, 0.0)


def main() -> None:
    link = report()
    torch.set_num_threads(1)
    gc.freeze()
    if link.kind == "calls":
        serve_calls(link, WORKLOADS)
    else:
        serve_runs(link, WORKLOADS, carry_out)


if __name__ == "__main__":
    main()
