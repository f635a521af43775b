"""How another process gets a workload: it calls an importable function, or it unpickles what this process has."""

import importlib
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pruning.errors import ExportError, WorkloadError, describe
from pruning.workload import Workload

FILE_MODULE = "_workload_"
"""What the private name begins with under which a workload file is a module here."""


@dataclass(frozen=True)
class Called:
    """The workload that `function(*arguments)` of an importable module returns.

    A sample model, a workload file and a function of one's own package are all got in this way: who starts the run says
    by which function, so that nothing here knows the sample models or the command line.
    """

    module: str
    function: str
    arguments: tuple[str, ...] = ()


WorkloadSource = Called | Workload
"""How another process gets a workload: by a call, or as it is, where it has no importable maker, as in a notebook."""


def to_message(source: WorkloadSource) -> tuple[dict[str, Any] | None, bytes]:
    """A JSON-able dict that says what to call, or else the workload in bytes. ExportError as for `pickled`."""
    return (asdict(source), b"") if isinstance(source, Called) else (None, pickled(source))


def from_message(call: Mapping[str, Any] | None, content: bytes) -> WorkloadSource:
    """What `to_message` took apart. Unpickling runs code, so the bytes have to be one's own."""
    if call is None:
        return pickle.loads(content)
    return Called(call["module"], call["function"], tuple(call["arguments"]))


def open_source(source: WorkloadSource) -> Workload:
    """The workload. WorkloadError if the call gives something else."""
    found: object = source
    if isinstance(source, Called):
        found = getattr(importlib.import_module(source.module), source.function)(*source.arguments)
    if not isinstance(found, Workload):
        raise WorkloadError(f"the fresh process found a {type(found).__name__} instead of a Workload; return one")
    return found


def pickled(workload: Workload) -> bytes:
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
    scored = replace(workload, train=workload.validation, checkpoints={}, teachers={})
    try:
        return cloudpickle.dumps(scored)
    except Exception as error:  # a class may raise whatever it likes while it is pickled
        raise ExportError(
            f"{workload.name}: its model or data cannot be given to another process ({describe(error)}); "
            "keep what cannot be pickled, such as an open file, out of them"
        ) from error
