"""Errors a person reads: one sentence that names the thing, what is wrong with it and the way out."""

import re

# a CPU, Windows and MPS raise a plain RuntimeError
_NO_MEMORY = re.compile(r"DefaultCPUAllocator|out of memory|not enough memory")


class PruningError(Exception):
    """Something the person can put right. The message is the sentence that is shown; the CLI leaves with code 2."""


class RecipeError(PruningError):
    """A recipe names a field, kind or value that does not exist or does not fit.

    `where` is the place in the recipe that the sentence begins with, such as `amount`; "" where it begins otherwise.
    """

    def __init__(self, sentence: str, where: str = "") -> None:
        super().__init__(sentence)
        self.where = where

    def at(self, place: str) -> "RecipeError":
        """The same error of a choice that stands elsewhere: an amount does not know that it is `amount.rest`."""
        return RecipeError(place + str(self).removeprefix(self.where), place) if self.where else self


class WorkloadError(PruningError):
    """A workload's model, weights or data cannot be used."""


class SurgeryError(PruningError):
    """Units could not be removed; the model that was there before is untouched."""


class PatienceError(PruningError):
    """An answer would take longer than somebody at a page waits; a run may take that long."""


class ExportError(PruningError):
    """An artefact could not be written, or does not score what the model scored."""


class JobError(PruningError):
    """A worker, a run or the store is not available."""


def describe(error: BaseException) -> str:
    """The error on one short line: its type and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def out_of_memory(error: BaseException) -> bool:
    """Whether the error means that there was not enough memory, as torch says it on its different devices."""
    if not isinstance(error, RuntimeError):
        return isinstance(error, MemoryError)
    # by name, for this file imports no torch
    return type(error).__name__ == "OutOfMemoryError" or _NO_MEMORY.search(str(error)) is not None
