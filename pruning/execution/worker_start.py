"""How a worker's process is started: its command, its environment, its log."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from pruning.execution.ipc import Assignment, ProcessKind, log_file

ROOT = Path(__file__).parents[2]

_PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}
# threads that spin while they wait for one another take the cores from whoever they wait for: 100 samples of a small
# network took 100 ms beside two busy processes, and 7 ms where waiting threads sleep
WAITING: dict[ProcessKind, dict[str, str]] = {"calls": _PATIENT, "background": _PATIENT, "forks": _PATIENT, "runs": {}}


class WorkerHandle(Protocol):
    """What the supervisor needs of a worker's process: `subprocess.Popen` has it."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def wait(self) -> int: ...
    def kill(self) -> None: ...


@dataclass(frozen=True)
class WorkerStarter:
    """Starts the processes of one server. `limits` are variables that say what its own say."""

    command: Sequence[str]
    home: Path
    limits: Mapping[str, str]

    def environment(self, assignment: Assignment) -> dict[str, str]:
        """All variables of a process with this assignment."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        own = {"PYTHONPATH": path, **self.limits, **assignment.environment()}
        return {**WAITING[assignment.kind], **os.environ, **own}

    def start(self, assignment: Assignment) -> "subprocess.Popen[bytes]":
        """A process that reports to where its assignment says. OSError if it cannot be started."""
        flags = 0
        if sys.platform == "win32":
            flags = subprocess.CREATE_NO_WINDOW
            flags |= subprocess.BELOW_NORMAL_PRIORITY_CLASS if assignment.kind != "calls" else 0
        with _opened_log(self.home) as output:
            return subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self.environment(assignment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                creationflags=flags,
                start_new_session=True,  # Ctrl-C is the server's; and the worker's children end with its group
            )


def _opened_log(home: Path) -> IO[bytes]:
    """The log, to be added to; nothing where the disk takes no file: a worker is worth more than its log."""
    try:
        return log_file(home).open("ab")
    except OSError:
        return Path(os.devnull).open("ab")
