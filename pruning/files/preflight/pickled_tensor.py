"""The call by which a pickle makes a tensor: which bytes it looks into, and whether they are as many as its values."""

from dataclasses import dataclass
from typing import Any

from pruning.errors import WorkloadError
from pruning.files.preflight.pickle_steps import ORDERED, Call, Entries, Name, Nested, Storage
from pruning.files.preflight.tensors import SIZES, Declared, shape_of
from pruning.files.shown import shown

_STORAGES = {
    "torch DoubleStorage": "float64", "torch FloatStorage": "float32", "torch HalfStorage": "float16",
    "torch BFloat16Storage": "bfloat16", "torch LongStorage": "int64", "torch IntStorage": "int32",
    "torch ShortStorage": "int16", "torch CharStorage": "int8", "torch ByteStorage": "uint8",
    "torch BoolStorage": "bool",
}  # fmt: skip
_UNTYPED = "torch.storage UntypedStorage"
_DTYPES = {f"torch {dtype}": dtype for dtype in SIZES}
_V2, _V3 = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3"
_PARAMETER = "torch._utils _rebuild_parameter"
_OTHERS = {
    "torch._utils _rebuild_sparse_tensor": ("sparse", "save tensor.to_dense()"),
    "torch._utils _rebuild_qtensor": ("quantised", "save the float model, or tensor.dequantize()"),
    "torch._utils _rebuild_nested_tensor": ("nested", "save tensor.to_padded_tensor(0.0)"),
    "torch._utils _rebuild_meta_tensor_no_storage": ("on the meta device, without values", "load the weights first"),
    "torch._utils _rebuild_wrapper_subclass": ("of a class of its own", "save plain tensors"),
    "torch._tensor _rebuild_from_type_v2": ("of a class or with attributes of its own", "save plain tensors"),
    "torch._utils _rebuild_parameter_with_state": ("with attributes of its own", "save tensor.detach().clone()"),
    "torch._utils _rebuild_device_tensor_from_numpy": ("of another device", "save tensor.cpu()"),
    "torch._utils _rebuild_device_tensor_from_cpu_tensor": ("of another device", "save tensor.cpu()"),
    "torch._utils _rebuild_tensor": ("pickled as before PyTorch 0.4", "load it and save it with a newer torch"),
}  # fmt: skip
_COMPLEX = tuple(
    f"torch {kind}" for kind in ("ComplexDoubleStorage", "ComplexFloatStorage", "complex32", "complex64", "complex128")
)
_INNER = (
    "Tensor",
    "Size",
    "device",
    "strided",
    "sparse_coo",
    "per_tensor_affine",
    "per_channel_affine",
    "nested_tensor",
)

FOLLOWED = frozenset({
    ORDERED, _V2, _V3, _PARAMETER, _UNTYPED, *_STORAGES, *_DTYPES, *_OTHERS, *_COMPLEX,
    *(f"torch {kind}Storage" for kind in ("QInt8", "QInt32", "QUInt8", "QUInt4x2", "QUInt2x4")),
    *(f"torch {kind}" for kind in _INNER),
    "torch.nn.parameter Parameter", "torch.serialization _get_layout",
})  # fmt: skip
"""What a pickle may name: what makes tensors, and what makes those that are refused by their names in the file."""


@dataclass(frozen=True)
class PickledTensor:
    """What the pickle says of a tensor: of which storage it shows a part, and how many bytes that has to have.

    `call` makes what is in the state dict, `inner` the tensor itself, where that is a parameter; `source` is what it
    looks into.
    """

    declared: Declared
    storage: str
    storage_bytes: int
    call: Call
    inner: Call
    source: Storage


def pickled_tensor(name: str, call: Call) -> PickledTensor:
    """The tensor of this name. WorkloadError where torch would make something else, or where its bytes are missing."""
    inner = _of_parameter(name, call) if call.name == _PARAMETER else call
    if inner.name in _OTHERS:
        what, way_out = _OTHERS[inner.name]
        raise WorkloadError(f"{shown(name)} is {what}, and weights are plain tensors; {way_out}")
    if inner.name not in (_V2, _V3):
        raise WorkloadError(
            f"its entry {shown(name)} is a pickled {shown(inner.name.replace(' ', '.'))} and no tensor; save "
            "model.state_dict(), or a .safetensors file"
        )
    if len(inner.arguments) != (6 if inner.name == _V2 else 7):
        raise _wrong(name)
    storage, offset, sizes, strides, gradient, hooks, *dtype = inner.arguments
    if not isinstance(storage, Storage) or type(offset) is not int or offset < 0:
        raise _wrong(name)
    if not isinstance(sizes, Nested) or not isinstance(strides, Nested) or not _usual(gradient, hooks):
        raise _wrong(name)
    key, kind, count = _storage(name, storage, dtype)
    declared = Declared(kind, shape_of(name, sizes.items))
    _require_dense(name, declared, offset, shape_of(name, strides.items), count)
    return PickledTensor(declared, key, count * SIZES[kind], call, inner, storage)


def _of_parameter(name: str, call: Call) -> Call:
    if len(call.arguments) != 3 or not isinstance(call.arguments[0], Call) or not _usual(*call.arguments[1:]):
        raise _wrong(name)
    return call.arguments[0]


def _usual(gradient: object, hooks: object) -> bool:
    """Whether it says of gradients what torch.save says: whether there is one, and no hooks."""
    return type(gradient) is bool and isinstance(hooks, Entries) and not hooks.values and not hooks.odd_key


def _storage(name: str, storage: Storage, dtype: list[Any]) -> tuple[str, str, int]:
    """Its key, torch's name of its dtype, and how many values of it there are."""
    told = storage.persistent.items if isinstance(storage.persistent, Nested) else ()
    if len(told) != 5 or told[0] != "storage":
        raise _wrong(name)
    _, of, key, place, count = told
    if not isinstance(of, Name) or not isinstance(key, str) or not isinstance(place, str) or type(count) is not int:
        raise _wrong(name)
    named = dtype[0] if dtype else of
    if not isinstance(named, Name) or (dtype and of.name != _UNTYPED):
        raise _wrong(name)
    kind = (_DTYPES if dtype else _STORAGES).get(named.name)
    if kind is None:
        raise WorkloadError(_unusable(name, named.name))
    if not key.isascii() or not key.isdecimal() or len(key) > 9 or count < 0 or (dtype and count % SIZES[kind]):
        raise _wrong(name)
    return key, kind, count // SIZES[kind] if dtype else count


def _unusable(name: str, kind: str) -> str:
    if kind in _COMPLEX:
        return f"{shown(name)} holds complex values, and weights are real numbers; save its real and imaginary part"
    if kind.startswith(("torch Q", "torch q")):
        return f"{shown(name)} is quantised, and weights are plain tensors; save the float model"
    called = shown(kind.replace(" ", "."))
    return f"{shown(name)} holds values of {called}, which are no weights; save model.float().state_dict()"


def _require_dense(name: str, tensor: Declared, offset: int, steps: tuple[int, ...], count: int) -> None:
    """WorkloadError unless every value has bytes of its own within the storage: no stride of 0, nothing expanded."""
    if len(steps) != len(tensor.shape):
        raise _wrong(name)
    if tensor.bytes == 0:
        return
    span = 1
    for step, size in sorted((step, size) for step, size in zip(steps, tensor.shape, strict=True) if size > 1):
        if step < span:
            raise WorkloadError(
                f"{shown(name)} shows values several times (it is expanded): {tensor.bytes} bytes are asked for, of "
                f"{count * SIZES[tensor.dtype]} that are there; save tensor.contiguous()"
            )
        span += step * (size - 1)
    if offset + span > count:
        raise WorkloadError(
            f"not a readable weights file ({shown(name)} reaches beyond its {count} stored values); save "
            "model.state_dict()"
        )


def _wrong(name: str) -> WorkloadError:
    return WorkloadError(
        f"not a readable weights file (the tensor {shown(name)} is not described as torch.save does it); save "
        "model.state_dict()"
    )
