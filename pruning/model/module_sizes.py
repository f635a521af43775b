"""What modules say of their sizes where units were removed, besides their tensors: a file carries it with them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from pruning.errors import WorkloadError
from pruning.files.shown import shown
from pruning.model.narrow_layers import CLASSES, NARROW, NarrowEmbedding, become


@dataclass(frozen=True)
class ModuleSizes:
    """What differs between the modules of a network and those of a smaller one, by the module's path.

    `numbers` are attributes that became smaller: whole numbers, or tuples and lists with whole numbers in them, as
    lists. `classes` are the names of classes of `narrow_layers` that modules became. `buffers` are the names
    of buffers that became smaller and that no state dict holds, for they are not persistent. All are empty where no
    unit was removed.
    """

    numbers: Mapping[str, Mapping[str, int | list[Any]]] = field(default_factory=dict[str, Any])
    classes: Mapping[str, str] = field(default_factory=dict[str, str])
    buffers: tuple[str, ...] = ()


NO_SIZES = ModuleSizes()


def sizes_between(dense: nn.Module, smaller: nn.Module) -> ModuleSizes:
    """What a copy of the dense network has to be told, besides its tensors, to become the smaller one."""
    numbers: dict[str, dict[str, int | list[Any]]] = {}
    classes: dict[str, str] = {}
    shapes, persistent = {name: buffer.shape for name, buffer in dense.named_buffers()}, smaller.state_dict().keys()
    befores = dict(dense.named_modules(remove_duplicate=False))
    for path, after in smaller.named_modules():
        before = befores[path]  # the blocks that were taken out have fewer modules, and none has others
        found = {name: value for name, value in vars(after).items() if _lower(value, vars(before).get(name))}
        if found:
            numbers[path] = {name: value if type(value) is int else list(value) for name, value in found.items()}
        if type(after) is not type(before):
            classes[path] = type(after).__name__
    buffers = [
        name for name, each in smaller.named_buffers() if name not in persistent and each.shape != shapes.get(name)
    ]
    return ModuleSizes(numbers, classes, tuple(buffers))


def saved_tensors(model: nn.Module, sizes: ModuleSizes) -> dict[str, Tensor]:
    """Name -> what a file holds of the model: its state dict, and the buffers that it could not be built with."""
    return {**model.state_dict(), **{name: model.get_buffer(name) for name in sizes.buffers}}


def _lower(after: Any, before: Any) -> bool:
    """Sizes only go down. A number that went up, such as a count of forward passes, is none."""
    if type(after) is not type(before):
        return False
    if type(after) is int:
        return after < before
    if type(after) not in (tuple, list) or len(after) != len(before) or not _plain(after) or not _plain(before):
        return False
    differ = [(a, b) for a, b in zip(after, before, strict=True) if a != b]
    return bool(differ) and all(type(a) is type(b) is int and a < b for a, b in differ)


def _plain(values: tuple[Any, ...] | list[Any]) -> bool:
    """Whether JSON holds every entry as it is."""
    return all(value is None or type(value) in (int, float, bool, str) for value in values)


def change_classes(model: nn.Module, sizes: ModuleSizes) -> None:
    """Make modules of the model, a dense one, what they became, in place. WorkloadError names the first that is not
    there.

    Layers whose class follows from the sizes of their tensors are left to `resize_layers`.
    """
    modules = dict(model.named_modules())
    for path, name in sizes.classes.items():
        if name in {each.__name__ for each in NARROW.values()}:
            continue
        module = modules.get(path) if path else None
        if (
            name not in CLASSES
            or module is None
            or (name == NarrowEmbedding.__name__ and type(module) is not nn.Embedding)
        ):
            raise WorkloadError(
                f"the file says that {shown(path) if path else 'the model'} is a {shown(name)}, and the network has no "
                "such module; choose its own workload"
            )
        become(module, name)


def set_numbers(model: nn.Module, sizes: ModuleSizes) -> None:
    """Lower the numbers in the model, a dense one, in place. WorkloadError names the first that is not there."""
    modules = dict(model.named_modules())
    for path, numbers in sizes.numbers.items():
        for name, value in numbers.items():
            before: Any = vars(modules[path]).get(name) if path in modules else None
            if not _may_become(before, value):
                raise WorkloadError(
                    f"the file says that {shown(f'{path}.{name}'.removeprefix('.'))} is {shown(str(value))}, and the "
                    "network has no such size; choose its own workload"
                )
            setattr(modules[path], name, type(before)(value))


def _may_become(before: Any, value: int | list[Any]) -> bool:
    """Whether a module's number is the one that a file names, or could have been lowered to it."""
    if type(before) not in (int, tuple, list) or isinstance(before, int) is not isinstance(value, int):
        return False
    after = type(before)(value)
    return after == before or _lower(after, before)


def to_metadata(sizes: ModuleSizes) -> dict[str, str]:
    """JSON by the keys `sizes`, `classes` and `buffers`, as a file holds it; without a key for what is empty."""
    parts = {"sizes": sizes.numbers, "classes": sizes.classes, "buffers": sizes.buffers}
    return {key: json.dumps(part, separators=(",", ":")) for key, part in parts.items() if part}


def from_metadata(metadata: Mapping[str, str]) -> ModuleSizes:
    """What `to_metadata` wrote; other keys are left out. ValueError where it is not such JSON."""
    numbers, classes = (json.loads(metadata.get(key, "{}")) for key in ("sizes", "classes"))
    buffers = json.loads(metadata.get("buffers", "[]"))
    right = _maps(numbers, dict) and all(_maps(each, int, list) for each in numbers.values()) and _maps(classes, str)
    if not right or not isinstance(buffers, list):
        raise ValueError("sizes are whole numbers by module and name")
    return ModuleSizes(numbers, classes, tuple(map(str, buffers)))  # pyright: ignore[reportUnknownArgumentType]


def _maps(value: Any, *kinds: type) -> bool:
    return isinstance(value, dict) and all(type(each) in kinds for each in value.values())
