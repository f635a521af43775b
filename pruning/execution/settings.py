"""How much one server carries out and how patient it is: what whoever runs it sets in the environment."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self, get_type_hints

import msgspec

from pruning.errors import JobError
from pruning.options.constraints import Between, ranges

Workers = Annotated[int, Between(1, 256)]

VARIABLES = {
    "PRUNING_RUNS_PER_SESSION": "runs_per_session",
    "PRUNING_SWEEP_RUNS": "sweep_runs",
    "PRUNING_INTERACTIVE": "interactive_workers",
    "PRUNING_BACKGROUND": "background_workers",
    "PRUNING_SCORING_S": "scoring_s",
    "PRUNING_SCORING_S_PER_HOUR": "scoring_s_per_hour",
    "PRUNING_RUN_WORKERS": "run_workers",
    "PRUNING_ATTEMPTS": "attempts",
    "PRUNING_LEASE_S": "lease_s",
    "PRUNING_DISK_RESERVE_MB": "disk_reserve_mb",
    "PRUNING_WORKER_MEMORY_MB": "worker_memory_mb",
    "PRUNING_RUN_HOURS": "run_hours",
    "PRUNING_RUN_EVENTS": "run_events",
    "PRUNING_DISK_PER_PERSON_MB": "disk_per_person_mb",
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

    runs_per_session: Annotated[int, Between(1, 10_000)] = 8
    """Most runs of one session that are queued or running at once (PRUNING_RUNS_PER_SESSION)."""
    sweep_runs: Annotated[int, Between(1, 10**6)] = 1000
    """Most runs of one session's sweeps that are queued or running at once (PRUNING_SWEEP_RUNS)."""
    interactive_workers: Workers = field(default_factory=available_cores)
    """They answer what a page asks at every move; as many as cores where nothing is said (PRUNING_INTERACTIVE)."""
    background_workers: Workers = 1
    """They share repairs, sensitivity maps, comparisons, searches and slow criteria (PRUNING_BACKGROUND)."""
    scoring_s: Annotated[float, Between(1.0, 86_400.0)] = 120.0
    """Seconds of computing that a page's question may ask for to score units or to repair a cut; more is refused
    (PRUNING_SCORING_S)."""
    scoring_s_per_hour: Annotated[float, Between(1.0, 10**6)] = 0.0
    """Seconds within an hour that workers compute for one person's slow criteria, maps, repairs, searches and
    comparisons; 0: as many as there are (PRUNING_SCORING_S_PER_HOUR)."""
    run_workers: Workers = 1
    """Runs carried out at once, by all servers on one home together (PRUNING_RUN_WORKERS)."""
    attempts: Annotated[int, Between(1, 1000)] = 3
    """How often a run is begun or resumed before a lost worker means that it failed (PRUNING_ATTEMPTS)."""
    lease_s: Annotated[float, Between(3.0, 3600.0)] = 10.0  # a worker says once a second that it lives
    """Seconds without a heartbeat after which a run's worker counts as lost (PRUNING_LEASE_S)."""
    disk_reserve_mb: Annotated[int, Between(1, 10**6)] = 64
    """MB of the disk that are kept for writing down that a run waits for room (PRUNING_DISK_RESERVE_MB)."""
    worker_memory_mb: Annotated[int, Between(300, 10**7)] = 0
    """MB of memory that a worker may take with its children; 0: a share of the machine's (PRUNING_WORKER_MEMORY_MB)."""
    run_hours: Annotated[float, Between(0.01, 8760.0)] = 24.0
    """Hours of running after which a run is stopped and keeps what it has (PRUNING_RUN_HOURS)."""
    run_events: Annotated[int, Between(100, 10**9)] = 500_000
    """Events, nearly all of them optimiser steps, after which a run is stopped as well (PRUNING_RUN_EVENTS)."""
    disk_per_person_mb: Annotated[int, Between(1, 10**9)] = 0
    """MB of the disk that one person's runs may take; 0: as much as there is (PRUNING_DISK_PER_PERSON_MB)."""

    def environment(self) -> dict[str, str]:
        """The variables that say the same, for a worker; what the environment may not say is left out."""
        limits = ranges(type(self))
        values = {variable: (limits[field], getattr(self, field)) for variable, field in VARIABLES.items()}
        return {variable: str(value) for variable, (limit, value) in values.items() if limit.holds(value)}

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
