"""How much one server carries out and how patient it is: what whoever runs it sets in the environment."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

from pruning.errors import JobError

T = TypeVar("T", int, float)


@dataclass(frozen=True)
class Limits:
    """The defaults suit one person's machine."""

    runs_per_session: int = 8
    """Most runs of one session that are queued or running at once (PRUNING_RUNS_PER_SESSION)."""
    interactive_workers: int = 2
    """One answers what a page asks at every move, the others share sensitivity maps and comparisons; a single one does
    both (PRUNING_INTERACTIVE)."""
    run_workers: int = 1
    """Runs carried out at once (PRUNING_RUN_WORKERS)."""
    attempts: int = 3
    """How often a run is begun or resumed before a lost worker means that it failed (PRUNING_ATTEMPTS)."""
    lease_s: float = 10.0
    """Seconds without a heartbeat after which a run's worker counts as lost (PRUNING_LEASE_S)."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """What is set there, else the defaults. JobError names a variable that makes no sense."""

        def read(name: str, kind: Callable[[str], T], default: T, least: T) -> T:
            text = environment.get(name) or str(default)
            try:
                value = kind(text)
            except ValueError:
                value = None
            if value is None or not least <= value <= 1e9:
                noun = "a whole number" if kind is int else "a number"
                raise JobError(f"{name} is {text!r}; set it to {noun} of at least {least}, or to nothing")
            return value

        return cls(
            read("PRUNING_RUNS_PER_SESSION", int, cls.runs_per_session, 1),
            read("PRUNING_INTERACTIVE", int, cls.interactive_workers, 1),
            read("PRUNING_RUN_WORKERS", int, cls.run_workers, 1),
            read("PRUNING_ATTEMPTS", int, cls.attempts, 1),
            read("PRUNING_LEASE_S", float, cls.lease_s, 3.0),  # a worker says once a second that it lives
        )
