"""One's own model and data: a Python file with a Workload in it, or with a function that returns one.

The file is run as it is, so it has to be one's own; only the command line reads such files.
"""

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from pruning.errors import WorkloadError, describe
from pruning.exporters.workload_source import FILE_MODULE, Called
from pruning.model.preparation import open_model
from pruning.model.score_order import with_metric
from pruning.workload import Workload

FORM = "write FILE.py:NAME, where NAME is a Workload or a function that returns one"


def is_reference(text: str) -> bool:
    """Whether the text names a workload file and not a model."""
    return ":" in text or text.endswith(".py")


def source_of(reference: str) -> Called:
    """How another process gets the workload that `FILE.py:NAME` names."""
    return Called(__name__, load_workload.__name__, (reference,))


def load_workload(reference: str) -> Workload:
    """The workload that `FILE.py:NAME` names, its model built once. WorkloadError names file and line."""
    file, colon, name = reference.rpartition(":")
    if not (colon and file and name):
        raise WorkloadError(f"workload is {reference!r}; {FORM}")
    path = Path(file).expanduser().resolve()
    if path.suffix != ".py":
        raise WorkloadError(f"workload is {reference!r} and {file} is not a Python file; {FORM}")
    if not path.is_file():
        raise WorkloadError(f"{file}: no such file; check the path, or {FORM}")
    found = _named(_imported(path, file), name, file)
    if not isinstance(found, Workload):
        found = _called(found, name, path, file)
    if not isinstance(found, Workload):
        raise WorkloadError(
            f"{file}: {name} gives a {type(found).__name__}; it has to be or to return a pruning.workload.Workload"
        )
    try:
        found = with_metric(found)
        open_model(found, torch.device("cpu"))
    except WorkloadError as error:
        raise WorkloadError(f"{_place(file, path, error.__cause__)}: {error}") from error
    return found


def _imported(path: Path, file: str) -> ModuleType:
    """The file as a module under a name that no import uses, with its folder on the path for what it imports itself."""
    name = f"{FILE_MODULE}{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if (folder := str(path.parent)) not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # the path ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _raised(file, path, error, "running the file") from error
    return module


def _named(module: ModuleType, name: str, file: str) -> Any:
    if name not in vars(module):
        own = [key for key, value in vars(module).items() if _offers(value, module)]
        there = f"it has {', '.join(own)}" if own else "it has neither a Workload nor a function"
        raise WorkloadError(f"{file}: there is no {name} in it; {there}")
    return vars(module)[name]


def _offers(value: object, module: ModuleType) -> bool:
    return isinstance(value, Workload) or (
        callable(value) and not isinstance(value, type) and getattr(value, "__module__", "") == module.__name__
    )


def _called(found: Any, name: str, path: Path, file: str) -> Any:
    if not callable(found):
        return found
    try:
        return found()
    except (Exception, SystemExit) as error:
        raise _raised(file, path, error, f"{name}()") from error


def _raised(file: str, path: Path, error: BaseException, doing: str) -> WorkloadError:
    return WorkloadError(f"{_place(file, path, error)}: {doing} failed with {describe(error)}; mend the file")


def _place(file: str, path: Path, error: BaseException | None) -> str:
    """`FILE.py, line N`: the last line of the file that the error passed through, or the line that is not Python."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{file}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
    return f"{file}, line {lines[-1]}" if lines else file
