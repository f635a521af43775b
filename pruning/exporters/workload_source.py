"""How another process gets the workload: it calls an importable function, or it unpickles what this process has."""

import importlib
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pruning.errors import ExportError, WorkloadError, describe
from pruning.workload import Workload


@dataclass(frozen=True)
class Called:
    """The workload that `function(*arguments)` of an importable module returns.

    A sample model, a workload file and a function of one's own package are all got in this way: who starts the run says
    by which function, so that nothing here knows the sample models or the command line.
    """

    module: str
    function: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pickled:
    """The workload itself, as `pickled` wrote it: it has no importable maker, as in a notebook."""

    content: bytes


WorkloadSource = Called | Pickled


def pickled(workload: Workload) -> Pickled:
    """The workload with its classes and functions, also those that were typed into a notebook.

    The standard library's pickle names a class by its module, and what was typed into a notebook is in no module that
    another process could import; cloudpickle writes down the class itself. Training samples and checkpoints are left
    out, for scoring needs neither. ExportError says what cannot be pickled.
    """
    try:
        import cloudpickle
    except ImportError:
        raise ExportError(
            "another process gets a model that was not imported from a file by cloudpickle, which is not installed; "
            "pip install cloudpickle"
        ) from None
    scored = replace(workload, train=workload.validation, checkpoints={})
    try:
        return Pickled(cloudpickle.dumps(scored))
    except Exception as error:  # a class may raise whatever it likes while it is pickled
        raise ExportError(
            f"{workload.name}: its model or data cannot be given to another process ({describe(error)}); "
            "keep what cannot be pickled, such as an open file, out of them"
        ) from error


def to_message(source: WorkloadSource) -> tuple[dict[str, Any] | None, bytes]:
    """A JSON-able dict and bytes, one of which says where the workload is."""
    return (None, source.content) if isinstance(source, Pickled) else (asdict(source), b"")


def from_message(call: Mapping[str, Any] | None, content: bytes) -> WorkloadSource:
    """What `to_message` took apart."""
    if call is None:
        return Pickled(content)
    return Called(call["module"], call["function"], tuple(call["arguments"]))


def open_source(source: WorkloadSource) -> Workload:
    """The workload. WorkloadError if that is not what is found; unpickling runs code, so it is for one's own bytes."""
    if isinstance(source, Pickled):
        found = pickle.loads(source.content)
    else:
        found = getattr(importlib.import_module(source.module), source.function)(*source.arguments)
    if not isinstance(found, Workload):
        raise WorkloadError(f"the fresh process found a {type(found).__name__} instead of a Workload; return one")
    return found
