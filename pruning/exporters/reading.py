"""From a file to tensors by name, and what it says of the modules' sizes: somebody else's file, or one's own.

Anybody's file is looked through before a library sees it (`pruning.files.preflight`). A .safetensors file is then read
here, for nothing in it can do anything; a .pt file, whose pickle torch follows, in a limited child process
(`pruning.files.child`), which gives back .safetensors.
"""

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pruning.errors import WorkloadError
from pruning.files.child import ChildError, Limits, Task, run
from pruning.files.preflight import safetensors, weights
from pruning.files.preflight.safetensors import Header
from pruning.files.preflight.state_dict import StateDict, write_anew
from pruning.files.shown import shown
from pruning.model.module_sizes import ModuleSizes, from_metadata
from pruning.model.preparation import require_finite

LIMITS = Limits(seconds=10.0)
"""With the first look and the start of the child it stays within 15 s and 4 GiB."""
_TO_SAFETENSORS = Task("pruning.files.state_dict_task", "to_safetensors")
_MADE = "tensors.safetensors"
_DAMAGED = "export it again, or save model.state_dict()"
_log = logging.getLogger(__name__)

Network = tuple[dict[str, Tensor], ModuleSizes]


def read_network(path: Path) -> Network:
    """The tensors of a .safetensors or a .pt state dict file that anybody may have made, and what it says of sizes.

    WorkloadError is one sentence that names the file, what is wrong with it and what to do, within 15 s and 4 GiB.
    """
    with weights.opened(path) as file:
        try:
            found = weights.looked_through(file)
            tensors, metadata = _mapped(path) if isinstance(found, Header) else _by_child(file, found)
            _require_declared(tensors, found)
            sizes = _sizes(metadata)
        except WorkloadError as error:
            raise WorkloadError(f"{shown(path.name)}: {error}") from error
    require_finite(shown(path.name), tensors)
    return tensors, sizes


def read_own_network(path: Path) -> Network:
    """The same of a file that this program has just written itself: read at once, by this process."""
    try:
        tensors, metadata = _mapped(path) if path.suffix == ".safetensors" else _unpickled(path)
        sizes = _sizes(metadata)
    except FileNotFoundError:
        raise WorkloadError(f"{path}: no such file; check the path") from None
    except WorkloadError as error:
        raise WorkloadError(f"{path.name}: {error}") from error
    except Exception as error:  # the unpickler raises whatever the bytes lead it to
        raise WorkloadError(f"{path.name}: not a readable weights file ({type(error).__name__}); {_DAMAGED}") from error
    require_finite(path.name, tensors)
    return tensors, sizes


def _mapped(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise WorkloadError(f"not a readable weights file ({shown(str(error), 120)}); {_DAMAGED}") from None


def _unpickled(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    tensors: Any = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise WorkloadError("not a state dict of names and tensors; save model.state_dict()")
    of_model = getattr(tensors, "_metadata", {}).get("", {})
    return tensors, {key: text for key, text in of_model.items() if isinstance(text, str)}


def _by_child(file: BinaryIO, found: StateDict) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    # Windows keeps a file that is mapped, and its folder with it
    with tempfile.TemporaryDirectory(prefix="pruning-", ignore_cleanup_errors=True) as folder:
        given, made = Path(folder, "given.pt"), Path(folder, "made")
        made.mkdir()
        try:
            write_anew(file, found, given)
            answer = run(_TO_SAFETENSORS, given, made, LIMITS)
        except ChildError as error:
            raise WorkloadError(_said(error)) from error
        except OSError as error:
            raise WorkloadError(_no_room(error.strerror or type(error).__name__)) from error
        if answer.missing:
            _log.info("a file was read with less protection than there can be: %s", "; ".join(answer.missing))
        with weights.opened(made / _MADE) as came_out:  # the child's word is no better than the file's
            safetensors.looked_through(came_out)
        return _mapped(made / _MADE)


def _said(error: ChildError) -> str:
    """A sentence for the way in which a child gave no answer."""
    match error.reason:
        case "refused":
            return shown(error.said, 300)
        case "time":
            return f"reading it takes longer than {LIMITS.seconds:.0f} s; save it as .safetensors"
        case "memory":
            return f"reading it takes over {LIMITS.memory_bytes / 2**30:.0f} GiB of memory; save it as .safetensors"
        case "space":
            return _no_room("disk full, or the file is larger than it says")
        case "start":
            return "the limited process that reads .pt files does not start here; save it as .safetensors"
        case _:
            kind = shown(error.said.partition(":")[0])
            return f"not a readable weights file (torch.load ends with {kind}); {_DAMAGED}"


def _no_room(reason: str) -> str:
    return f"the folder for temporary files cannot hold it ({reason}); make room there, or save it as .safetensors"


def _require_declared(tensors: Mapping[str, Tensor], found: Header | StateDict) -> None:
    """WorkloadError unless just those tensors came out that the file was said to hold."""
    for name in tensors.keys() | found.tensors.keys():
        tensor, said = tensors.get(name), found.tensors.get(name)
        kind = None if tensor is None else (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        if said is None or kind != (said.dtype, said.shape):
            raise WorkloadError(f"not a readable weights file ({shown(name)} is read as another tensor); {_DAMAGED}")


def _sizes(metadata: Mapping[str, str]) -> ModuleSizes:
    try:
        return from_metadata(metadata)
    except (ValueError, RecursionError):
        raise WorkloadError(f"what it says of the modules' sizes cannot be read; {_DAMAGED}") from None
