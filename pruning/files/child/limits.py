"""What a child may take, what it is asked, and how it ends."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Limits:
    """What one child may take.

    `seconds` are those of a clock and those of a processor, from when it looks at the file on; `memory_bytes` are
    beside the program's own libraries, which differ from one installation of torch to the next: a build for GPUs maps
    several GB of code.
    """

    seconds: float = 15.0
    memory_bytes: int = 3 * 2**30
    written_bytes: int = 2**30 + 2**27
    open_files: int = 64


@dataclass(frozen=True)
class Task:
    """A function that the child imports and calls: `function(given: Path, folder: Path)`, which returns plain values.

    Its module is imported before anything is forbidden. So it imports what it needs at its top.
    """

    module: str
    function: str


@dataclass(frozen=True)
class Answer:
    """What the function returned, and a phrase for every protection that this machine could not give."""

    value: Any
    missing: tuple[str, ...]


READY = b"ready\n"
"""What a child says first, once it has given everything up and before it looks at the file."""

Reason = Literal["refused", "time", "memory", "space", "death", "fault", "start"]


class ChildError(Exception):
    """The child gave no answer.

    `reason`: the function refused the file, and `said` is its sentence; or it took too much `time` or `memory`, wrote
    more than there is `space` for, ended the process (`death`), raised something unforeseen (`fault`), or the process
    did not come up (`start`).
    """

    def __init__(self, reason: Reason, said: str = "", missing: tuple[str, ...] = ()) -> None:
        super().__init__(f"{reason}: {said}" if said else reason)
        self.reason: Reason = reason
        self.said = said
        self.missing = missing
