"""Entry of both kinds of worker: `python -m pruning.execution.worker_main`, started by the local backend.

On Ray the entry is `equipment`. The one file of this folder that may know the sample models.
"""

import faulthandler
import gc
import logging
import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pruning.errors import JobError
from pruning.execution.ipc import Assignment, ProcessKind, SocketLink
from pruning.execution.settings import Limits
from pruning.execution.store.store import Store
from pruning.execution.worker_memory import allowed_bytes, hold_back

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pruning.events import Event
    from pruning.execution.run_worker import CarryOut
    from pruning.recipe.recipe import Recipe
    from pruning.workload import Workload, Workloads


NICE: dict[ProcessKind, int] = {"forks": 0, "calls": 3, "background": 7, "runs": 15}
"""How much of the processor a worker leaves to others: the page comes first, then what a person waits for."""


def main() -> None:
    link = report()
    # imported only now: a server that dies while torch is loading leaves no orphan
    import torch

    from pruning.execution.call_worker import serve_calls
    from pruning.execution.run_worker import serve_runs
    from sample_models import MODELS

    if link.kind == "forks":
        link = forked_worker(link)
    if not torch.accelerator.is_available():
        hold_back(allowed_bytes(Limits.from_environment()))
    if link.kind != "runs":
        gc.freeze()
        serve_calls(link, MODELS)
    else:
        carry_out = carrying_out()
        gc.freeze()
        limits = Limits.from_environment()  # the server's
        serve_runs(link, Store(link.home, limits, limits.run_workers).leases, MODELS, carry_out)


def equipment() -> "tuple[Workloads, CarryOut]":
    """What a worker on a node of a cluster works on, and how it carries out a run."""
    from sample_models import MODELS

    return MODELS, carrying_out()


def carrying_out() -> "CarryOut":
    """How a run of a sample model is carried out; the fresh process that verifies its files gets the model by name."""
    from pruning.exporters.workload_source import Called
    from pruning.run import experiment

    def carry_out(
        workload: "Workload",
        recipe: "Recipe",
        out: "Path",
        reference: str,
        stop: "Callable[[], bool]",
        *,
        checkpoints: "Path",
    ) -> "Generator[Event, None, object]":
        source = Called("sample_models", "workload", (reference,))
        return experiment.carry_out(workload, recipe, out, source, stop, checkpoints=checkpoints)

    return carry_out


def forked_worker(link: SocketLink) -> SocketLink:
    """The link of a worker that this process, the fork server, has become. Returns in each worker."""
    from pruning.execution.forking import forked

    import_module("pruning.interactive.answers")  # what the first question of every worker needs
    forked(link)
    return report()


def report() -> SocketLink:
    """Connect to the server that started this process; from here on the process ends with it."""
    try:
        assignment = Assignment.from_environment()
    except JobError as error:
        sys.exit(f"error: {error}")
    faulthandler.enable()
    logging.basicConfig(format="%(asctime)s %(process)d %(name)s: %(message)s", level=logging.WARNING)
    if sys.platform != "win32":  # there, the server lowers it
        _be_nice(NICE[assignment.kind])
    return SocketLink(assignment)


def _be_nice(by: int) -> None:
    os.nice(by)
    # Linux shares the processor among sessions first, and each worker is a session of its own
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(by))


if __name__ == "__main__":
    main()
