"""Whose fault an error is that nobody foresaw: the person's own code, or ours. A library's is not the person's."""

import sysconfig
import tempfile
import traceback
from pathlib import Path

from pruning.errors import describe

_ROOT = Path(__file__).resolve().parents[2]
_OURS = tuple(_ROOT / name for name in ("pruning", "views", "sample_models"))
_LIBRARIES = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def fault(error: Exception) -> str:
    """One sentence: the line of the person's own file that failed, else that the fault is ours, and where details are.

    The traceback of a fault of ours is written into the system's folder for temporary files.
    """
    if place := own_line(error):
        return f"{place}: it failed with {describe(error)}; mend the file"
    with tempfile.NamedTemporaryFile("w", prefix="pruning-fault-", suffix=".txt", delete=False) as file:
        file.write("".join(traceback.format_exception(error)))
    return (
        f"this is a fault of Pruning Explorer and not of your files: {describe(error)}; {file.name} has the details, "
        "please report them"
    )


def own_line(error: Exception) -> str:
    """`FILE.py, line N` where the person's own code raised the error, or called what did; empty where ours did."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if any(path.is_relative_to(folder) for folder in _OURS):
            return ""
        if path.is_file() and not any(path.is_relative_to(folder) for folder in _LIBRARIES):
            return f"{path.name}, line {frame.lineno}"
    return ""
