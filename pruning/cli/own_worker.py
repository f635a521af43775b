"""A worker whose runs are of one's own model: `python -m pruning.cli.own_worker FILE.py:NAME`, started by `sweep`."""

import gc
import sys
from collections.abc import Callable, Generator
from pathlib import Path

from pruning.execution.worker_main import report


def main(reference: str) -> None:
    link = report()
    # imported only now, as in worker_main: a command that dies while torch is loading leaves no orphan
    from pruning.cli.workload_file import load_workload, source_of
    from pruning.events import Event
    from pruning.execution.run_worker import serve_runs
    from pruning.execution.store.store import Store
    from pruning.recipe.recipe import Recipe
    from pruning.run import experiment
    from pruning.workload import Workload

    workload = load_workload(reference)
    source = source_of(reference)

    def carry_out(
        workload: Workload, recipe: Recipe, out: Path, reference: str, stop: Callable[[], bool], *, checkpoints: Path
    ) -> Generator[Event, None, object]:
        return experiment.carry_out(workload, recipe, out, source, stop, checkpoints=checkpoints)

    gc.freeze()
    serve_runs(link, Store(link.home).leases, {workload.name: lambda: workload}, carry_out)


if __name__ == "__main__":
    main(sys.argv[1])
