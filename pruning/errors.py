"""Errors a person reads: one sentence that names the thing, what is wrong with it and the way out."""

import errno
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


class NoRoomError(JobError):
    """What a run needs written cannot be: the disk is full, read-only or broken. The run waits until it can."""


_LONGEST = 300
_MISSING = re.compile(r"Missing key\(s\) in state_dict: (.*?)\. ")
_UNEXPECTED = re.compile(r"Unexpected key\(s\) in state_dict: (.*?)\. ")


def describe(error: BaseException) -> str:
    """The error on one line: its type and what it says, cut off between two words where it is long."""
    said = " ".join(str(error).split())
    if (keys := _of_state_dict(said)) is not None:
        said = keys
    elif said.startswith("Weights only load failed"):
        said = (
            "torch.load reads tensors alone, and the file holds a pickled object; load it with "
            "torch.load(file, weights_only=False) if you trust where it comes from"
        )
    if len(said) > _LONGEST:
        said = said[: said.rfind(" ", 0, _LONGEST)] + " ..."
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _of_state_dict(said: str) -> str | None:
    """What load_state_dict complains of, in a line: how many keys, the first of each, and a prefix that they all have.

    None where it is another error.
    """
    if not said.startswith("Error(s) in loading state_dict"):
        return None
    missing, left_over = (_keys(pattern, said + " ") for pattern in (_MISSING, _UNEXPECTED))
    parts = [
        f"{len(keys)} keys {what} ({keys[0]}{', ...' if len(keys) > 1 else ''})"
        for keys, what in ((missing, "are missing from the weights"), (left_over, "fit nothing in the model"))
        if keys
    ]
    prefix = next((key.removesuffix(missing[0]) for key in left_over if missing and key.endswith(missing[0])), "")
    if prefix and all(key.startswith(prefix) for key in left_over):
        parts.append(f"all of the second begin with {prefix!r}: take it off the names")
    elif missing and left_over and all("." not in key for key in left_over):
        parts.append(f"the weights may be one of the entries {', '.join(left_over[:5])}")
    return "load_state_dict: " + "; ".join(parts) if parts else said.removeprefix("Error(s) in ")


def _keys(pattern: re.Pattern[str], said: str) -> list[str]:
    found = pattern.search(said)
    return [] if found is None else re.findall(r'"([^"]+)"', found[1])


_NO_ROOM = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EROFS", "EIO") if hasattr(errno, name)}


def no_room(error: BaseException | None) -> bool:
    """Whether the error, or one that led to it, means that the disk takes nothing more for now."""
    while error is not None:
        if isinstance(error, NoRoomError) or (isinstance(error, OSError) and error.errno in _NO_ROOM):
            return True
        error = error.__cause__
    return False


def out_of_memory(error: BaseException) -> bool:
    """Whether the error means that there was not enough memory, as torch says it on its different devices."""
    if not isinstance(error, RuntimeError):
        return isinstance(error, MemoryError)
    # by name, for this file imports no torch
    return type(error).__name__ == "OutOfMemoryError" or _NO_MEMORY.search(str(error)) is not None


_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_INVISIBLE = {
    **{ord(letter): "�" for letter in [*_BIDI, *map(chr, range(0x80, 0xA0)), "\u2028", "\u2029", "\ufeff"]},
    **{code: chr(0x2400 + code) for code in range(32)},
    0x7F: "␡",
}


def printable(text: str, longest: int | None = None) -> str:
    """Text from elsewhere as it may stand in a page, a log or a terminal: control characters and those that turn the
    direction of writing become signs, and what is longer than asked is cut in its middle.
    """
    if longest is not None and len(text) > longest:
        text = f"{text[: longest // 2]}…{text[len(text) - (longest - longest // 2 - 1) :]}"
    # a lone half of a pair of UTF-16 cannot be written anywhere
    return text.translate(_INVISIBLE).encode("utf-8", "replace").decode("utf-8")
