"""How much one server carries out and how patient it is: what whoever runs it sets in the environment."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self, get_type_hints

import msgspec

from pruning.errors import JobError
from pruning.options.constraints import Between, ranges

Count = Annotated[int, Between(1, 10**9)]

VARIABLES = {
    "PRUNING_RUNS_PER_SESSION": "runs_per_session",
    "PRUNING_SWEEP_RUNS": "sweep_runs",
    "PRUNING_INTERACTIVE": "interactive_workers",
    "PRUNING_BACKGROUND": "background_workers",
    "PRUNING_RUN_WORKERS": "run_workers",
    "PRUNING_ATTEMPTS": "attempts",
    "PRUNING_LEASE_S": "lease_s",
}
"""Environment variable -> the field that it sets."""


def available_cores() -> int:
    """Processor cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Limits:
    """The defaults suit one person's machine. The ranges hold for the environment."""

    runs_per_session: Count = 8
    """Most runs of one session that are queued or running at once (PRUNING_RUNS_PER_SESSION)."""
    sweep_runs: Count = 1000
    """Most runs of one session's sweeps that are queued or running at once (PRUNING_SWEEP_RUNS)."""
    interactive_workers: Count = field(default_factory=available_cores)
    """They answer what a page asks at every move; as many as cores where nothing is said (PRUNING_INTERACTIVE)."""
    background_workers: Count = 1
    """They share repairs, sensitivity maps, comparisons, searches and slow criteria (PRUNING_BACKGROUND)."""
    run_workers: Count = 1
    """Runs carried out at once (PRUNING_RUN_WORKERS)."""
    attempts: Count = 3
    """How often a run is begun or resumed before a lost worker means that it failed (PRUNING_ATTEMPTS)."""
    lease_s: Annotated[float, Between(3.0, 1e9)] = 10.0  # a worker says once a second that it lives
    """Seconds without a heartbeat after which a run's worker counts as lost (PRUNING_LEASE_S)."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """What is set there, else the defaults. JobError names a variable that makes no sense."""
        types, limits = get_type_hints(cls), ranges(cls)
        given = {
            field: _read(variable, text, types[field], limits[field])
            for variable, field in VARIABLES.items()
            if (text := environment.get(variable))
        }
        return cls(**given)


def _read(variable: str, text: str, kind: Any, limits: Between) -> Any:
    try:
        value = msgspec.convert(text.strip(), kind, strict=False)  # every variable is a text: read the number in it
    except msgspec.ValidationError:
        value = None
    if value is None or not limits.holds(value):
        noun = "a whole number" if kind is int else "a number"
        raise JobError(f"{variable} is {text!r}; set it to {noun} {limits}, or to nothing")
    return value
