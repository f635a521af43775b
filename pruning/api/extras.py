"""Packages that not every installation has: the sentence that says which extra brings them."""

from collections.abc import Generator
from contextlib import contextmanager

from pruning.errors import PruningError

EXTRA = "notebook"


@contextmanager
def extra_packages() -> Generator[None, None, None]:
    """Around imports of packages that the library's core does not need. PruningError says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "pruning":
            raise  # a fault of ours
        raise PruningError(
            f"this needs {package}, which is not installed; run pip install 'pruning-explorer[{EXTRA}]'"
        ) from error
