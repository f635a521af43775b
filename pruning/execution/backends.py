"""Which backend the environment asks for: processes on this machine, or actors on a Ray cluster."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pruning.errors import JobError
from pruning.execution.backend import Backend
from pruning.execution.local_backend import WORKER, LocalBackend
from pruning.execution.settings import Limits


def _local(home: Path, limits: Limits, interactive: int, command: Sequence[str]) -> Backend:
    background = limits.background_workers if interactive else 0
    return LocalBackend(home, interactive, command=command, limits=limits, background=background)


def _ray(home: Path, limits: Limits, interactive: int, command: Sequence[str]) -> Backend:
    if tuple(command) != WORKER:
        raise JobError(
            "PRUNING_BACKEND is 'ray', whose nodes know the sample models only; set it to nothing to run your own model"
        )
    try:
        from pruning.execution.ray_cluster.backend import RayBackend
    except ImportError as error:
        raise JobError(
            "PRUNING_BACKEND is 'ray' and Ray is not installed; run pip install -r requirements-ray.txt, or set it to "
            "nothing"
        ) from error
    background = limits.background_workers if interactive else 0
    return RayBackend(home, interactive, limits=limits, background=background)


BACKENDS: dict[str, Callable[[Path, Limits, int, Sequence[str]], Backend]] = {"local": _local, "ray": _ray}
"""What PRUNING_BACKEND may be."""


def made_backend(
    home: Path,
    environment: Mapping[str, str] = os.environ,
    interactive: int | None = None,
    command: Sequence[str] = WORKER,
) -> Backend:
    """The backend that `PRUNING_BACKEND` names. JobError if there is none of that name, or it cannot start.

    `interactive` is how many workers answer pages; None: as many as the environment says. `command` starts a worker on
    this machine.
    """
    name = environment.get("PRUNING_BACKEND") or "local"
    if name not in BACKENDS:
        raise JobError(f"PRUNING_BACKEND is {name!r}; set it to one of {', '.join(BACKENDS)}, or to nothing")
    limits = Limits.from_environment(environment)
    return BACKENDS[name](home, limits, limits.interactive_workers if interactive is None else interactive, command)
