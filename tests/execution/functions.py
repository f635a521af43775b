"""What the tests have the interactive worker do; without torch, so that a server in a test starts at once."""

import os
import time
from pathlib import Path

from pruning.errors import PruningError, RecipeError


class ForeignError(PruningError):
    """Not of pruning.errors, and not to be made from one sentence."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")


def add(lab: object, left: int, right: int = 0) -> int:
    return left + right


def pid(lab: object) -> int:
    return os.getpid()


def niceness(lab: object) -> tuple[int, str]:
    """How much of the processor this worker leaves to others, in its session and among sessions."""
    group = Path("/proc/self/autogroup")
    return os.nice(0), group.read_text().split()[-1] if group.exists() else ""


def wait_for(lab: object, path: str) -> int:
    """Wait until the file is there. The process's id is what it returns, and in a file beside it while it waits."""
    Path(f"{path}.tmp").write_text(str(os.getpid()))
    Path(f"{path}.tmp").rename(f"{path}.waiting")
    while not Path(path).exists():
        time.sleep(0.01)
    return os.getpid()


_counts: dict[tuple[int, bool], int] = {}


def count_up(lab: object, enough: int, which: bool, seconds: float) -> tuple[int, float] | None:
    """Nothing until it was asked so often; then the process's id, and the length of the last slice."""
    _counts[enough, which] = _counts.get((enough, which), 0) + 1
    return (os.getpid(), seconds) if _counts[enough, which] >= enough else None


def refuse_to_count(lab: object, seconds: float) -> None:
    raise_recipe_error(lab)


def raise_recipe_error(lab: object) -> None:
    raise RecipeError("criterion.kind is 'x'; use one of magnitude")


def raise_foreign_error(lab: object) -> None:
    raise ForeignError("here", "wrong")


def raise_bug(lab: object) -> None:
    raise ZeroDivisionError("division by zero")


def raise_out_of_memory(lab: object) -> None:
    import torch

    torch.empty(2**60)


def return_what_cannot_be_sent(lab: object) -> object:
    return lambda: None


def take_memory(lab: object, mb: int) -> None:
    kept = bytearray(b"x") * (mb * 2**20)
    time.sleep(600)
    del kept


def variable(lab: object, name: str) -> str | None:
    return os.environ.get(name)
