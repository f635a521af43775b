"""What went wrong in a worker, as the one sentence that a person reads. Tracebacks go to the worker's log."""

import logging
from pathlib import Path

from pruning.errors import JobError, PruningError, describe, out_of_memory

log = logging.getLogger(__name__)


def explain(error: Exception, doing: str, less_memory: str, log_file: Path) -> PruningError:
    """The error as one that can be pickled and shown. `less_memory` says how to need less of it.

    A PruningError keeps its sentence and, if it is one of ours, its type.
    """
    if isinstance(error, PruningError):
        ours = type(error).__module__ == PruningError.__module__
        return type(error)(str(error)) if ours else PruningError(str(error))
    log.error("%s failed", doing, exc_info=error)
    if out_of_memory(error):
        return JobError(f"{doing} needs more memory than there is; {less_memory}")
    return JobError(
        f"{doing} failed with {describe(error)}; this is a fault of the program, and {log_file} has the details"
    )
