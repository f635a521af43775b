"""What a server is doing at one moment, in plain values: for the page of whoever runs it."""

from dataclasses import dataclass

from pruning.execution.ipc import WorkerKind


@dataclass(frozen=True)
class Question:
    """Something that pages ask of interactive workers: by whom, and for how many seconds since it was asked first,
    or since a worker began with this part of it.
    """

    what: str
    people: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class WorkerState:
    """A worker, what it is at now, and what it takes; None where that is not known, as on other machines."""

    worker: str
    kind: WorkerKind
    question: Question | None
    """What an interactive worker answers now; None while it is idle."""
    run: str
    """The run that it carries out, "" = none."""
    memory_bytes: int | None
    allowed_bytes: int | None
    """Beyond that it is ended."""
    starting: bool = False
    """Whether it cannot be given anything yet."""


@dataclass(frozen=True)
class ServerState:
    """All workers that were started, and the questions that wait for one or are gone on with in turns."""

    workers: tuple[WorkerState, ...]
    questions: tuple[Question, ...]
