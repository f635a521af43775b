"""Files that somebody wrote to do harm: pickles that call, never end or ask for terabytes, archives that lie."""

import io
import random
import stat
import struct
import tarfile
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np

from benchmarks.hostile_pickles import (
    EMPTY_TUPLE,
    archived,
    call,
    listed,
    mapping,
    name,
    number,
    ordered,
    pickled,
    several,
    state_dict,
    storage,
    tensor,
    text,
    vector,
    zipped,
)
from benchmarks.hostile_tensors import Family, Tensors, packed, saved, written

CANARY = str(Path(tempfile.gettempdir(), "pruning-canary"))
"""The file that is made where a payload is run, and by nothing else."""

_CALLS = (
    ("os", "system"), ("posix", "system"), ("nt", "system"), ("subprocess", "Popen"), ("subprocess", "check_output"),
    ("builtins", "eval"), ("builtins", "exec"), ("__builtin__", "eval"), ("builtins", "__import__"),
    ("builtins", "open"), ("builtins", "getattr"), ("runpy", "run_path"), ("pty", "spawn"), ("shutil", "rmtree"),
    ("pathlib", "Path.touch"),
    ("torch.hub", "load"), ("torch", "load"), ("torch.jit", "load"), ("torch.serialization", "load"), ("torch", "save"),
    ("torch.utils.cpp_extension", "load"), ("torch._dynamo.utils", "exec"), ("numpy.f2py.crackfortran", "myeval"),
    ("torch.fx.graph_module", "reduce_graph_module"), ("torch.distributed.rpc", "init_rpc"), ("pickle", "loads"),
    ("timeit", "timeit"), ("code", "interact"), ("webbrowser", "open"), ("importlib", "import_module"), ("io", "open"),
    ("torch.storage", "_load_from_bytes"), ("torch._utils", "_rebuild_wrapper_subclass"), ("operator", "methodcaller"),
    ("torch._tensor", "_rebuild_from_type_v2"), ("torch.package", "PackageImporter"), ("functools", "partial"),
)  # fmt: skip


_OUTSIDE = ("../x", "/etc/passwd", "C:\\x", "m/../../x", "m\\..\\x")


def calls(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    """A pickle that calls what would make the canary, somewhere in it, in several of pickle's ways."""
    module, function = chance.choice(_CALLS)
    imported = f"__import__('os').system('touch {CANARY}')"
    words = chance.choice((f"touch {CANARY}", f"open({CANARY!r}, 'w')", CANARY, imported))
    called = call(name(module, function), text(words))
    payload = chance.choice((
        called,
        call(name(module, function), text(words), text("w")),
        name(module, function) + several(text(words)) + b"\x81",
        b"(" + text(words) + f"i{module}\n{function}\n".encode(),
        b"(" + name(module, function) + text(words) + b"o",
        text(module) + text(function) + b"\x93" + several(text(words)) + b"R",
        call(name("torch._utils", "_rebuild_parameter"), called, b"\x89", ordered()),
        ordered() + mapping([(text("__class__"), name(module, function))]) + b"b",
        vector("0", 2) + several(name(module, function), text(words)) + b"b",
        call(name("collections", "OrderedDict"), listed(several(text("a"), called))),
    ))  # fmt: skip
    good = tensor(storage("0", 2), [2], [1])
    pickle = chance.choice((
        pickled(payload), state_dict({"fc1.weight": payload, "b": good}), pickled(mapping([(payload, good)])),
        pickled(payload + b"0" + mapping([(text("a"), good)])), pickled(payload + mapping([(text("a"), good)])),
        pickled(ordered() + mapping([(text("_metadata"), mapping([(text(""), payload)]))]) + b"b"),
        state_dict({"a": tensor(several(text("storage"), payload, text("0"), text("cpu"), number(2)) + b"Q", [2], [])}),
        b"\x80\x04" + payload + b".",
    ))  # fmt: skip
    return "pt", archived(pickle, {"0": bytes(8)}) if chance.random() < 0.8 else pickle


def bombs(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    """Few bytes that take terabytes of memory or never end."""
    depth, large, many = chance.randint(20, 60), 10 ** chance.randint(9, 14), chance.randint(30, 4000)
    deep = number(1) + b"\x85" + b"q\x01h\x01\x86" * depth
    view = tensor(storage("0", 2), [2], [1])
    pickle = chance.choice((
        lambda: pickled(mapping([(deep, number(1))])),
        lambda: pickled(mapping([(deep[: -2 * depth] + b"\x85" * depth, number(1))])),
        lambda: pickled(b"](" + deep + b"e"),
        lambda: state_dict({"a": call(name("torch", "FloatTensor"), number(large))}),
        lambda: state_dict({"a": call(name("builtins", "bytearray"), number(large))}),
        lambda: state_dict({"a": call(name("torch", "FloatStorage"), number(large))}),
        lambda: state_dict({"a": call(name("torch._utils", "_rebuild_meta_tensor_no_storage"), number(large))}),
        lambda: state_dict({"a": tensor(storage("0", 1), [10**6, 10**6], [0, 0])}),
        lambda: state_dict({"a": tensor(storage("0", 2), [large, 2], [0, 1])}),
        lambda: state_dict({"a": tensor(storage("0", 2), [2, large], [1, 1])}),
        lambda: state_dict({"a": tensor(storage("0", large), [large], [1])}),
        lambda: state_dict({"a": tensor(storage("0", 2), [2] * many, [1] * many)}),
        lambda: state_dict({"a": tensor(storage("0", 2), [0, large], [large, 1])}),
        lambda: state_dict({"a": tensor(storage("0", 2), [2], [1], offset=large)}),
        lambda: state_dict({"a": tensor(storage("0", 2), [-2], [1])}),
        lambda: state_dict({"a": tensor(storage("0", 2, "UntypedStorage", module="torch.storage"), [2], [1])}),
        lambda: state_dict({"a": tensor(storage("0", 2, place="meta"), [2], [1])}),
        lambda: state_dict({"a": tensor(storage("0", 2, "QInt8Storage"), [2], [1])}),
        lambda: state_dict({str(each): view for each in range(chance.choice((20_001, 200_000)))}),
        lambda: pickled(mapping([(number(each), view) for each in range(chance.choice((1_000, 200_000)))])),
        lambda: pickled(b"(" * chance.choice((10**3, 10**6))),
        lambda: pickled(b"](" + b"N" * 10**6 + b"e"),
        lambda: pickled(b"]q\x00h\x00a"),
        lambda: pickled(b"}q\x00" + text("a") + b"h\x00s"),
        lambda: pickled(b"N" + b"\x85" * 10**5),
        lambda: pickled(number(1) + b"r" + struct.pack("<I", 2**32 - 1) + EMPTY_TUPLE),
        lambda: b"\x80\x02" + b"\x8b" + struct.pack("<i", 2**31 - 1) + b".",
        lambda: b"\x80\x02" + b"X" + struct.pack("<I", 2**32 - 1) + b".",
        lambda: b"\x80\x02" + b"\x8a\xff" + b"\x7f" * 255 + b"\x85" + b".",
    ))()  # fmt: skip
    return "pt", archived(pickle, {"0": bytes(8)})


def many_views(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    """Thousands of tensors that all show the same megabytes."""
    count = 10 ** chance.randint(4, 6)
    pickle = state_dict({str(each): vector("0", count) for each in range(chance.choice((1_000, 20_000)))})
    return "pt", archived(pickle, {"0": bytes(4 * count)})


def scrambled(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    """The pickle of a right file with steps changed, in an archive whose checksums are right."""
    with zipfile.ZipFile(io.BytesIO(saved(dict(tensors)))) as right:
        members = {member: right.read(member) for member in right.namelist()}
    pickle = bytearray(members["archive/data.pkl"])
    for _ in range(chance.choice((1, 1, 2, 5, 40))):
        at = chance.randrange(len(pickle))
        match chance.randrange(4):
            case 0:
                pickle[at] = chance.randrange(256)
            case 1:
                pickle[at:at] = bytes([chance.choice(b"(.tR}useb0QqhNKJX)]\x85\x86\x81\x93c")])
            case 2:
                del pickle[at : at + chance.randint(1, 9)]
            case _:
                other = chance.randrange(len(pickle))
                pickle[at:at] = pickle[other : other + chance.randint(1, 60)]
    members["archive/data.pkl"] = bytes(pickle)
    return "pt", zipped(list(members.items()))


def archives(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    """The archive around the pickle is not what it seems."""
    members = [("m/data.pkl", state_dict({"a": vector("0", 1000)})), ("m/data/0", bytes(4000)), ("m/version", b"3\n")]
    link = zipfile.ZipInfo("m/data/1")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    good = zipped(members)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return "pt", chance.choice((
            lambda: zipped(members, zipfile.ZIP_DEFLATED),
            lambda: zipped([members[0], ("m/data/0", bytes(chance.choice((10**7, 10**8))))], zipfile.ZIP_DEFLATED),
            lambda: zipped([*members, members[chance.randrange(3)]]),
            lambda: zipped([*members, (chance.choice(_OUTSIDE), b"x")]),
            lambda: zipped([*members, (link, b"/etc/passwd")]),
            lambda: zipped([*members, ("m/data/" + "x" * chance.choice((200, 60_000)), b"x")]),
            lambda: zipped([*members, ("m/\x1b[2J", b"x"), ("m/\u202ecod", b"x")]),
            lambda: zipped([(f"m/{each}", b"") for each in range(chance.choice((21_000, 70_000)))]),
            lambda: zipped([*members, ("n/data.pkl", members[0][1])]),
            lambda: zipped(members[1:]),
            lambda: zipped(members[:1]),
            lambda: good + chance.randbytes(chance.randint(1, 100)),
            lambda: chance.randbytes(chance.randint(1, 100)) + good,
            lambda: good + good,
            lambda: packed(b'{"a":1}', good),
            lambda: _patched(good, b"PK\1\2", chance.choice((8, 10, 16, 20, 24, 28, 42)), chance.randbytes(4)),
            lambda: _patched(good, b"PK\5\6", chance.choice((4, 8, 10, 12, 16, 20)), chance.randbytes(2)),
            lambda: _patched(good, b"PK\3\4", chance.choice((6, 8, 14, 18, 22, 26)), chance.randbytes(4)),
            lambda: _lying64(good, chance),
        ))()  # fmt: skip


def _patched(content: bytes, mark: bytes, offset: int, other: bytes) -> bytes:
    at = content.rindex(mark) + offset
    return content[:at] + other + content[at + len(other) :]


def _lying64(content: bytes, chance: random.Random) -> bytes:
    """With a record for archives over 4 GB that says something else than the usual one."""
    end = content.rindex(b"PK\5\6")
    numbers = [chance.choice((0, 1, 3, 2**32, 2**63, end, len(content))) for _ in range(4)]
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, *numbers)
    place = struct.pack("<4sLQL", b"PK\6\7", 0, chance.choice((end, 0, 2**62)), 1)
    return content[:end] + record + place + content[end:]


def other_formats(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    suffix = chance.choice(("pt", "pth", "safetensors", "bin", "onnx", "npz", "pt2", ""))
    with io.BytesIO() as arrays, io.BytesIO() as tar:
        np.savez_compressed(arrays, a=np.zeros(10**6))
        with tarfile.open(fileobj=tar, mode="w") as made:
            made.addfile(tarfile.TarInfo("storages"))
        contents = (
            arrays.getvalue(), tar.getvalue(), b"", bytes(100), b"\x89HDF\r\n\x1a\n" + bytes(99), b"GGUF\3" + bytes(99),
            b"\x08\x07\x12\x07pytorch" + bytes(99), b"\x1f\x8b\x08" + bytes(99), b"\x93NUMPY\1\0" + bytes(99),
            b"{}", b"<html>", "weights".encode("utf-16"), chance.randbytes(chance.randint(1, 10**4)),
            zipped([("m/archive_format", b"pt2"), ("m/models/model.json", b"{}"), ("m/data/weights/weight_0", b"")]),
            pickled(call(name("os", "system"), text(f"touch {CANARY}"))), written("pt", tensors)[4:],
            b"\x80\x02\x8a\nl\xfcF\x9cj P\xa8\x19." + pickled(call(name("os", "system"), text(f"touch {CANARY}"))),
        )  # fmt: skip
        return suffix, chance.choice(contents)


FAMILIES: dict[str, Family] = {
    "calls": calls, "bombs": bombs, "scrambled pickles": scrambled, "archives": archives,
    "other formats": other_formats,
}  # fmt: skip
ONCE: dict[str, Family] = {"many views": many_views}
