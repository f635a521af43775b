"""Files of weights gone wrong as libraries let them go: damaged, of other kinds, types, shapes, names and values."""

import io
import json
import random
import struct
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from pruning.model.narrow_layers import CLASSES

Tensors = Mapping[str, Tensor]
Family = Callable[[random.Random, Tensors], tuple[str, bytes]]
"""A seeded draw and the weights of the sample model -> the ending of the file's name, and its bytes."""

_KINDS = ("safetensors", "pt")
_DTYPES = (
    torch.bool, torch.int8, torch.uint8, torch.int16, torch.uint16, torch.int64, torch.float8_e4m3fn, torch.float8_e5m2,
    torch.float16, torch.bfloat16, torch.float64, torch.complex64,
)  # fmt: skip


def saved(tensors: Any, **how: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer, **how)
    return buffer.getvalue()


def written(kind: str, tensors: Mapping[str, Tensor]) -> bytes:
    if kind == "pt":
        return saved(dict(tensors))
    return save({name: tensor.contiguous().clone() for name, tensor in tensors.items()})


def whole(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    """As it should be, so that what is accepted is tried too: some values differ from the sample's."""
    kind = chance.choice(_KINDS)
    return kind, written(kind, {name: tensor * chance.uniform(0.5, 1.5) for name, tensor in tensors.items()})


def flipped(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    kind = chance.choice(_KINDS)
    content = bytearray(written(kind, tensors))
    front = chance.random() < 0.5  # where the header is; a flipped weight is one of many
    for _ in range(chance.choice((1, 2, 8, 64))):
        content[chance.randrange(min(2000, len(content)) if front else len(content))] ^= 1 << chance.randrange(8)
    return kind, bytes(content)


def cut(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    kind = chance.choice(_KINDS)
    content = written(kind, tensors)
    at = chance.choice((chance.randrange(len(content)), chance.randrange(300), len(content) - chance.randrange(1, 300)))
    return kind, chance.choice((content[:at], content[at:], content[:at] + chance.randbytes(9) + content[at:]))


def of_another_kind(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    name = chance.choice(list(tensors))
    tensor = tensors[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: Any = chance.choice(
            (
                lambda: tensor.to_sparse(),
                lambda: torch.zeros(4, 4).to_sparse_csr(),
                lambda: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
                lambda: torch.nested.nested_tensor([tensor.flatten(), tensor.flatten()[:3]]),
                lambda: torch.complex(tensor, tensor),
                lambda: tensor.to("meta"),
                lambda: torch.zeros(1).expand(chance.choice((tuple(tensor.shape), (10**6, 10**6)))),
                lambda: torch.as_strided(tensor, tuple(tensor.shape), (1,) * tensor.dim()),
                lambda: _with_attribute(tensor),
                lambda: None,
                lambda: 3,
                lambda: torch.nn.Linear(2, 2),
            )
        )()
    return "pt", saved({**tensors, name: made})


def _with_attribute(tensor: Tensor) -> Tensor:
    made: Any = tensor.clone()
    made.hidden = torch.Size([1])
    return made


def of_another_type(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    kind, dtype = chance.choice(_KINDS), chance.choice(_DTYPES)
    which = set(chance.sample(list(tensors), chance.randint(1, len(tensors))))
    return kind, written(kind, {name: t.to(dtype) if name in which else t for name, t in tensors.items()})


def of_another_shape(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    kind, name = chance.choice(_KINDS), chance.choice(list(tensors))
    tensor = tensors[name]
    made = chance.choice((
        tensor[:1], tensor[:0], tensor.unsqueeze(0), tensor.flatten(), tensor.t() if tensor.dim() == 2 else tensor,
        tensor.repeat(2, *(1,) * (tensor.dim() - 1)), torch.tensor(1.0), tensor[: chance.randint(1, len(tensor))],
    ))  # fmt: skip
    return kind, written(kind, {**tensors, name: made})


def not_finite(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    kind, name = chance.choice(_KINDS), chance.choice(list(tensors))
    made = tensors[name].clone()
    made.view(-1)[chance.randrange(made.numel())] = chance.choice((float("nan"), float("inf"), -float("inf")))
    return kind, written(kind, {**tensors, name: made})


def other_names(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    kind = chance.choice(_KINDS)
    key = chance.choice((
        "", "\x1b[2J\x1b[31m", "\u202eevil", "a\nb", "x" * 10**6, "../../etc/passwd", "__metadata__", "é", "\0",
        "fc1.weight ", "[link](http://x)", "<script>", "%s%n", "{0}",
    ))  # fmt: skip
    name = chance.choice(list(tensors))
    others = {each: tensor for each, tensor in tensors.items() if each != name}
    if key == "__metadata__":
        kind = "pt"
    return kind, written(kind, chance.choice(({**tensors, key: tensors[name]}, {**others, key: tensors[name]}, others)))


def keys_that_are_no_names(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    key: Any = chance.choice((1, 2.5, None, True, (1, (2, 3)), frozenset((1, 2)), b"fc1", 10**30, -1, ("a",)))
    return "pt", saved({**tensors, key: torch.zeros(2)})


def checkpoints(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    model = torch.nn.Linear(3, 2)
    optimiser = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    made: Any = chance.choice((
        {"model": dict(tensors), "epoch": 3}, {"optimizer": optimiser}, [dict(tensors)], (1, 2), 3, "text",
        torch.zeros(3), {"state": {0: torch.zeros(2)}}, model, {"a": {"b": {"c": torch.zeros(1)}}}, {}, None, set(),
    ))  # fmt: skip
    return "pt", saved(made)


def other_ways_to_save(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    if chance.random() < 0.3:
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.script(torch.nn.Linear(3, 2)), buffer)
        return "pt", buffer.getvalue()
    how: Any = chance.choice((
        {"pickle_protocol": chance.choice((0, 1, 3, 4, 5))}, {"_use_new_zipfile_serialization": False},
    ))  # fmt: skip
    return "pt", saved(dict(tensors), **how)


def headers(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    """A .safetensors header with one thing wrong in it."""
    content = written("safetensors", tensors)
    size = struct.unpack("<Q", content[:8])[0]
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    entry = header[chance.choice(list(tensors))]
    end = len(data)
    change: Any = chance.choice((
        {"shape": [10**6, 10**6]}, {"shape": [-1]}, {"shape": [0, 2**62]}, {"shape": [2**64]}, {"shape": [1] * 80},
        {"shape": "x"}, {"shape": [1.5]}, {"shape": None}, {"dtype": "C64"}, {"dtype": "F4"}, {"dtype": 3},
        {"dtype": ""}, {"dtype": "F64"}, {"data_offsets": [0, end]}, {"data_offsets": [end, end + 8]},
        {"data_offsets": [8, 0]},
        {"data_offsets": [-8, 0]}, {"data_offsets": [0]}, {"data_offsets": [0, 2**63]}, {"more": {"x": 1}},
        {"data_offsets": [0, float("inf")]},
    ))  # fmt: skip
    entry.update(change)
    return "safetensors", packed(json.dumps(header).encode(), data)


def packed(header: bytes, data: bytes = b"", size: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if size is None else size) + header + data


def large_headers(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    """Seconds to read for who reads it: many entries, deep brackets, one name again and again, lengths that lie."""
    entry = b'{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    number = chance.randrange(20_001, 120_000)
    return "safetensors", chance.choice((
        lambda: packed(b"{" + b",".join(b'"%d":%b' % (each, entry) for each in range(number)) + b"}"),
        lambda: packed(b"{" + b",".join(b'"%d":0' % each for each in range(8 * number)) + b"}"),
        lambda: packed(b"{" + b",".join([b'"a":' + entry] * (number // 2)) + b"}"),
        lambda: packed(b'{"a":' + b"[" * chance.randrange(10**3, 10**6) + b"}"),
        lambda: packed(b'{"a":' * chance.randrange(10**3, 10**6)),
        lambda: packed(b'{"a":[' + b"[]," * (10 * number) + b'[]],"a":' + entry + b"}"),
        lambda: packed(b'{"__metadata__":{"sizes":"' + b"[" * 10 * number + b'"}}'),
        lambda: packed(b'{"a":' + b"9" * 10 * number + b"}"),
        lambda: packed(b"{}", size=chance.choice((2**40, 2**63, 2**64 - 1, 3, 0, 1))),
        lambda: packed(b"{}" + b" " * 10 * number),
        lambda: packed(b"{" + chance.randbytes(number)),
    ))()  # fmt: skip


def millions_of_entries(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    """The header of 1.6 million entries: 90 MB."""
    entry = b'{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return "safetensors", packed(b"{" + b",".join(b'"%d":%b' % (each, entry) for each in range(1_600_000)) + b"}")


def sizes(chance: random.Random, tensors: Tensors) -> tuple[str, bytes]:
    """What a file says of the modules' sizes, made up: in both kinds of files."""
    path = chance.choice(("", "fc1", "fc2", "flatten", "no.such", "\x1b[2J"))
    number = chance.choice((0, -1, 1, 10**12, [1], [None], "os.system", 2.5, {"a": 1}, True))
    name = chance.choice(("out_features", "training", "in_features", "__class__", "weight", "start_dim", ""))
    of_class = chance.choice((*CLASSES, "os.system", "Linear"))
    told = chance.choice((
        {"sizes": json.dumps({path: {name: number}})}, {"classes": json.dumps({path: of_class})},
        {"buffers": json.dumps([name, "x" * 10**5])}, {"sizes": "["}, {"classes": "[" * 10**5}, {"buffers": '{"a":1}'},
    ))  # fmt: skip
    if chance.random() < 0.5:
        return "safetensors", save(dict(tensors), told)
    module: Any = torch.nn.Linear(1, 1).state_dict()
    module.clear()
    module.update(tensors)
    module._metadata[""] = told
    return "pt", saved(module)


FAMILIES: dict[str, Family] = {
    "whole": whole, "bits flipped": flipped, "cut or with bytes put in": cut,
    "tensors of another kind": of_another_kind, "of another type": of_another_type,
    "of another shape": of_another_shape, "not finite": not_finite,
    "other names": other_names, "keys that are no names": keys_that_are_no_names, "checkpoints": checkpoints,
    "other ways to save": other_ways_to_save, "headers": headers, "large headers": large_headers, "sizes": sizes,
}  # fmt: skip
"""What the files of a family have wrong -> the family."""

ONCE: dict[str, Family] = {"millions of entries": millions_of_entries}
"""Too large to be made many times."""
