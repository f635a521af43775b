"""A .pt file: the zip archive that torch.save writes of a state dict, and nothing else that has this ending."""

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pruning.errors import WorkloadError
from pruning.files.preflight import archive as members
from pruning.files.preflight.limits import HEADER_BYTES, STATE_DICT_BYTES, TENSORS
from pruning.files.preflight.pickle_steps import Call, Entries, Nested, Walked, walk
from pruning.files.preflight.pickled_tensor import FOLLOWED, PickledTensor, pickled_tensor
from pruning.files.preflight.tensors import Declared
from pruning.files.shown import shown

_WAY_OUT = "save model.state_dict(), or a .safetensors file"
_NO_STATE_DICT = "not a state dict of names and tensors"
_PROGRAMS = {
    "constants.pkl": "TorchScript",
    "models/model.json": "a program of torch.export",
    "archive_format": "a program of torch.export",
    "serialized_exported_program.json": "a program of torch.export",
}
_PIECE = 2**20


@dataclass(frozen=True)
class StateDict:
    """What the archive holds of a state dict, looked through.

    `tensors` are what the pickle says; `prefix` is the folder that all members lie in; `storages` are the members with
    values.
    """

    tensors: Mapping[str, Declared]
    prefix: str
    pickle: bytes
    byteorder: bytes
    storages: tuple[str, ...]


def looked_through(file: BinaryIO) -> StateDict:
    """What the open archive holds. WorkloadError says what is wrong with it, without its name."""
    if (size := os.fstat(file.fileno()).st_size) > STATE_DICT_BYTES + 2 * HEADER_BYTES:
        raise _too_large(size)
    archive = members.opened(file)
    names = archive.namelist()
    prefix = _prefix(names)
    members.require_plain(archive, size)
    if archive.getinfo(f"{prefix}/data.pkl").file_size > HEADER_BYTES:
        raise WorkloadError(f"its pickle is larger than {HEADER_BYTES / 1e6:.0f} MB; {_WAY_OUT}")
    pickle = members.member(archive, f"{prefix}/data.pkl")
    order = members.member(archive, f"{prefix}/byteorder") if f"{prefix}/byteorder" in names else b"little"
    if order not in (b"little", b"big"):
        raise WorkloadError(f"not a readable weights file (its byte order is neither little nor big); {_WAY_OUT}")
    tensors = _tensors(walk(pickle, FOLLOWED))
    storages = _storages(tensors)
    for key, each in storages.items():
        _require_bytes(archive, f"{prefix}/data/{key}", each)
    declared = {name: each.declared for name, each in tensors.items()}
    return StateDict(declared, prefix, pickle, order, tuple(f"{prefix}/data/{key}" for key in storages))


def write_anew(file: BinaryIO, found: StateDict, path: Path) -> None:
    """An archive of what was looked through, and of nothing else: whoever reads it cannot find other members in it.

    Two readers of one zip file may take different bytes for its table. WorkloadError if a checksum is wrong.
    """
    with zipfile.ZipFile(file) as given, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as made:
        for name, content in {"data.pkl": found.pickle, "byteorder": found.byteorder, "version": b"3\n"}.items():
            made.writestr(f"state_dict/{name}", content)
        for name in found.storages:
            _copy(given, name, made, f"state_dict/{name.removeprefix(f'{found.prefix}/')}")


def _copy(given: zipfile.ZipFile, name: str, made: zipfile.ZipFile, to: str) -> None:
    try:
        with given.open(name) as source, made.open(to, "w") as target:
            while piece := source.read(_PIECE):
                target.write(piece)
    except members.BROKEN as error:
        raise members.damaged(error) from None


def _prefix(names: list[str]) -> str:
    """The folder of all members. WorkloadError where it is another kind of archive."""
    ends = [name.partition("/")[2] for name in names]
    for end, what in _PROGRAMS.items():
        if end in ends:
            raise WorkloadError(f"it is {what}, whose code would be run; {_WAY_OUT} of the model in Python")
    if any(name.endswith(".npy") for name in names):
        raise WorkloadError("it is an archive of NumPy arrays; save them with safetensors.numpy.save_file")
    pickles = [name for name in names if name.endswith("/data.pkl")]
    if len(pickles) != 1 or pickles[0].count("/") != 1:
        raise WorkloadError(f"it is a zip archive that torch.save did not write; {_WAY_OUT}")
    return pickles[0].removesuffix("/data.pkl")


def _tensors(walked: Walked) -> dict[str, PickledTensor]:
    """Name -> tensor. WorkloadError where the pickle is not a state dict, or makes something besides."""
    found = {name: pickled_tensor(name, call) for name, call in _calls(walked.result).items()}
    if (total := sum(each.declared.bytes for each in found.values())) > STATE_DICT_BYTES:
        raise _too_large(total)
    used = {id(call) for each in found.values() for call in (each.call, each.inner)}
    if any(id(call) not in used for call in walked.calls):
        raise WorkloadError(f"its pickle makes something that is not in the state dict; {_WAY_OUT}")
    sources = {id(each.source) for each in found.values()}
    if any(id(storage) not in sources for storage in walked.storages):
        raise WorkloadError(f"its pickle asks for bytes that no tensor shows; {_WAY_OUT}")
    return found


def _calls(top: Any) -> dict[str, Call]:
    """Name -> what makes the tensor."""
    if not isinstance(top, Entries):
        raise WorkloadError(f"{_NO_STATE_DICT}{_instead(top)}; save model.state_dict()")
    if top.odd_key:
        raise WorkloadError(f"a key of it is {top.odd_key} and not the name of a tensor; save model.state_dict()")
    if len(top.values) > TENSORS:
        raise WorkloadError(
            f"it has {len(top.values)} entries, and files are read up to {TENSORS}; save the state dict of one network"
        )
    for name, value in top.values.items():
        if not isinstance(value, Call):
            what = "has entries of its own" if isinstance(value, Entries) else "is no tensor"
            raise WorkloadError(f"{_NO_STATE_DICT}: its entry {shown(name)} {what}; save model.state_dict() alone")
    return top.values


def _instead(top: Any) -> str:
    """What there is instead, where that helps."""
    if isinstance(top, Call):
        return f" but a pickled {shown(top.name.replace(' ', '.'))}"
    return " but a list or a tuple" if isinstance(top, list | Nested) else ""


def _storages(tensors: Mapping[str, PickledTensor]) -> dict[str, PickledTensor]:
    """Each storage by its key, with the first tensor that shows it. WorkloadError where another sees it otherwise."""
    found: dict[str, PickledTensor] = {}
    for name, each in tensors.items():
        first = found.setdefault(each.storage, each)
        if (first.declared.dtype, first.storage_bytes) != (each.declared.dtype, each.storage_bytes):
            raise WorkloadError(
                f"not a readable weights file ({shown(name)} takes the bytes of another tensor for values of another "
                f"type); {_WAY_OUT}"
            )
    return found


def _require_bytes(archive: zipfile.ZipFile, member: str, of: PickledTensor) -> None:
    """WorkloadError unless the member is there and has as many bytes as the pickle says."""
    try:
        size = archive.getinfo(member).file_size
    except KeyError:
        raise WorkloadError(f"not a readable weights file (it lacks {shown(member)}); {_WAY_OUT}") from None
    if size != of.storage_bytes:
        raise WorkloadError(
            f"not a readable weights file (its pickle asks for {of.storage_bytes} bytes of {shown(member)}, and there "
            f"are {size}); {_WAY_OUT}"
        )


def _too_large(size: int) -> WorkloadError:
    return WorkloadError(
        f"it has {size / 2**30:.3g} GiB of values, and .pt files are read up to {STATE_DICT_BYTES / 2**30:.0f} GiB; "
        "save it as .safetensors"
    )
