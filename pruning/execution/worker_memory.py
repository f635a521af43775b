"""How much memory a worker may take, so that the machine lives. Measured from outside: address space says nothing."""

import ctypes
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from pruning.execution.settings import Limits

MB = 2**20
_CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_OWN_SHARE = 0.9
_ADJUSTMENT = Path("/proc/self/oom_score_adj")


def allowed_bytes(limits: Limits) -> int:
    """What the environment says, else nine tenths of the machine's memory, divided by the run workers, two at least."""
    if limits.worker_memory_mb:
        return limits.worker_memory_mb * MB
    return int(_OWN_SHARE * machine_bytes() / max(limits.run_workers, 2))


def machine_bytes() -> int:
    """The machine's memory, or what the container may take of it."""
    found = psutil.virtual_memory().total
    for path in _CGROUPS:
        with suppress(OSError, ValueError):
            found = min(found, int(path.read_text()))
    return found


def resident_bytes(process: int) -> int:
    """The memory that a process and its children have to themselves. 0 if it has ended.

    Pages of files count for nothing: the system takes them back when it needs them.
    """
    total = 0
    with suppress(psutil.Error):
        worker = psutil.Process(process)
        for each in (worker, *worker.children(recursive=True)):
            with suppress(psutil.Error):
                found = each.memory_info()
                total += max(found.rss - getattr(found, "shared", 0), 0)
    return total


def hold_back(allowed: int) -> None:
    """Let this process fail at once where it asks for far more than it may take, and be the first to go for the system.

    Not where there is an accelerator, whose driver reserves more than there is.
    """
    with suppress(OSError):
        _ADJUSTMENT.write_text("500")
    if sys.platform != "linux":
        return
    import resource

    with suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (allowed + allowed // 2 + 512 * MB, hard))


def give_back() -> None:
    """Hand the system what this process has freed. About 10 ms.

    GNU's allocator keeps it, in holes between what lives on: 600 cuts of one network took 150 to 180 MB more than they
    held. Nothing where the allocator is another.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def too_much(kind: str, allowed: int) -> str:
    """What is said of a worker that was ended for it."""
    way_out = "lower tuning.batch_size" if kind == "runs" else "take fewer samples"
    return (
        f"it took more than {allowed // MB} MB of memory and was ended; {way_out} or choose a smaller model, or set "
        "PRUNING_WORKER_MEMORY_MB higher where the server is started"
    )
