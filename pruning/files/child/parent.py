"""Starts the child, waits for it no longer than it may take, and reads its answer."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from pruning.files.child.limits import READY, Answer, ChildError, Limits, Reason, Task

_ROOT = Path(__file__).resolve().parents[3]
_START = """
import json, sys
request = json.loads(sys.stdin.buffer.read())
sys.path[:] = request["path"]
from pruning.files.child.inside import main
main(request)
"""
_KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""Of the environment: where libraries lie. Without SYSTEMROOT nothing starts on Windows."""

UP_S = 60.0
"""How long a child may take to import what it needs. Its own seconds count from then on: a machine may be busy."""

_LOOK_S = 0.01
_SMALL = 2**16  # of what it says
_REASONS: tuple[Reason, ...] = ("refused", "memory", "space", "fault")


def run(task: Task, given: Path, folder: Path, limits: Limits | None = None) -> Answer:
    """What the task's function returns for the file, called in a process of its own that may write to this folder only.

    ChildError says why there is no answer. The process and all that it may have started are gone then, and also where
    there is one.
    """
    limits = limits or Limits()
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as request:
        request.write(_request(task, given.resolve(), folder.resolve(), limits))
        request.seek(0)
        code = _waited_for(request, said, folder, limits)
        said.seek(0)
        return _answer(said.read(_SMALL), code)


def _request(task: Task, given: Path, folder: Path, limits: Limits) -> bytes:
    # -I knows neither PYTHONPATH nor the current folder: the child looks for modules where this process does
    places = dict.fromkeys([str(_ROOT), *(str(Path(entry).resolve()) for entry in sys.path if entry)])
    return json.dumps(
        {
            "path": list(places),
            "task": [task.module, task.function],
            "given": str(given),
            "folder": str(folder),
            "limits": vars(limits),
        }
    ).encode()


def _waited_for(request: IO[bytes], said: IO[bytes], folder: Path, limits: Limits) -> int:
    """The child's exit code. ChildError if it did not end in time."""
    quiet = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HOME": str(folder)}
    child = subprocess.Popen(
        [sys.executable, "-I", "-X", "utf8", "-B", "-c", _START],
        stdin=request,
        stdout=said,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={**quiet, "TMPDIR": str(folder), **{name: os.environ[name] for name in _KEPT if name in os.environ}},
        start_new_session=True,
    )
    try:
        end, begun = time.monotonic() + UP_S, False
        while (code := child.poll()) is None:
            if not begun and os.fstat(said.fileno()).st_size:
                end, begun = time.monotonic() + limits.seconds, True
            if time.monotonic() > end:
                raise ChildError("time") if begun else ChildError("start", f"not up after {UP_S:.0f} s")
            time.sleep(_LOOK_S)
        return code
    finally:
        _end(child)


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Kill it with all that it may have started, which must not write any more while its answer is looked at."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
    child.kill()
    child.wait()


def _answer(said: bytes, code: int) -> Answer:
    try:
        told: Any = json.loads(said.removeprefix(READY))
        missing = tuple(map(str, told["missing"]))
        if "value" in told:
            return Answer(told["value"], missing)
        reasons: list[Reason] = [each for each in _REASONS if each == told["reason"]]
        raise ChildError(reasons[0], str(told["said"]), missing)
    except (ValueError, LookupError, TypeError, RecursionError):
        raise _unsaid(code) from None


def _unsaid(code: int) -> ChildError:
    """What its end means, where it did not say it."""
    if code < 0:
        return ChildError("death", f"signal {-code}")
    return ChildError("start", f"exit code {code}") if code else ChildError("fault", "its answer cannot be read")
