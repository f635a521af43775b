"""How to use an exported file without this project: plain Python that runs as it is printed."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pruning.exporters.exporter import Record
from pruning.exporters.weights_safetensors import Safetensors
from pruning.exporters.workload_source import FILE_MODULE, Called
from pruning.model.module_sizes import NO_SIZES, sizes_between, to_metadata
from pruning.model.preparation import (
    WRAPPERS,
    Reparametrization,
    is_wrapper,
    plain_copy,
    reparametrized,
    unwrapped,
)
from pruning.workload import Workload


def loading_snippet(record: Record, dense: nn.Module) -> str:
    """Python that loads the exported tensors into the model's class. `dense` is what the workload builds.

    A class that has a classmethod `fitting(tensors)` is made by it, if that gives the network. Else the model is built
    as it was, made plain as it was for the run, and given the tensors and the sizes that are in the file.
    """
    model = record.model
    tail = _tail(record.workload.example)
    fitting = _importable(type(model)) if _is_fitted(model) else None
    if fitting is not None:
        imports = ["from safetensors.torch import load_file", _import(*fitting)]
        return _program(imports, [f'model = {fitting[1]}.fitting(load_file("{Safetensors.file}"))', *tail])
    imports, made = _making(record)
    on_cpu = all(parameter.device.type == "cpu" for parameter in dense.parameters())
    lines = [made if on_cpu else f"{made}.cpu()", *_unwrapping(dense)]
    folded_imports, folding = _folding(dense)
    plain = plain_copy(dense)
    if not folding and record.sizes == NO_SIZES and _takes(plain, model.state_dict()):
        imports = ["from safetensors.torch import load_file", *imports]
        return _program(imports, [*lines, f'model.load_state_dict(load_file("{Safetensors.file}"))', *tail])
    read_imports, reading = _reading(record)
    return _program([*read_imports, *folded_imports, *imports], [*lines, *folding, *reading, *_placing(record), *tail])


def _program(imports: list[str], lines: list[str]) -> str:
    """Imports of the standard library, of packages and of files of one's own, each apart, then the lines."""
    standard = [line for line in imports if line == "import json"]
    packages = [line for line in imports if line.startswith(("from safetensors", "from torch"))]
    own = [line for line in imports if line not in standard + packages]
    blocks = (standard, ["import torch", *packages], own, lines)
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _import(module: str, name: str) -> str:
    return f"from {module} import {name}"


def _tail(example: Tensor) -> list[str]:
    shape = ", ".join(map(str, example.shape))
    kind = "" if str(example.dtype) == "torch.float32" else f", dtype={example.dtype}"
    sizes = ", ".join(["n", *map(str, example.shape[1:])])
    return [
        "model.eval()",
        f"inputs = torch.zeros({shape}{kind})  # [{sizes}], prepared as in training",
        "with torch.no_grad():",
        "    output = model(inputs)",
        "# to train it further: model.train(), and an optimiser made anew from model.parameters()",
    ]


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _takes(model: nn.Module, tensors: Mapping[str, Tensor]) -> bool:
    """Whether load_state_dict takes the tensors: of other shapes, or where a class asks for a version, it does not."""
    try:
        model.load_state_dict(dict(tensors))
    except Exception:  # a class may raise whatever it likes
        return False
    return True


def _is_fitted(model: nn.Module) -> bool:
    """Whether the classmethod of its class makes this network of its tensors: it may know of some sizes only."""
    made: Any = type(model)
    if not hasattr(made, "fitting"):
        return False
    try:
        found = made.fitting({name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()})
        alike = sizes_between(found, model) == sizes_between(model, found) == NO_SIZES
    except Exception:  # a person's own code may raise whatever it likes
        return False
    return alike and type(found) is made and _shapes(found) == _shapes(model)


def _making(record: Record) -> tuple[list[str], str]:
    """Import lines, and the line that makes the dense model."""
    if found := _importable(record.workload.build):
        return [_import(*found)], f"model = {found[1]}()"
    if isinstance(record.source, Called) and (imported := _called(record.source)):
        return [imported[0]], f"model = {imported[1]}.build()"
    return [], f"model = ...  # your {type(record.model).__name__}, made as before it was pruned"


def _importable(made: Any) -> tuple[str, str] | None:
    """Module and name by which plain Python imports a class or function; None where there is no such name.

    A workload file is imported under a private name, so it is called as its file. What is in `__main__` is run, not
    imported.
    """
    module, name = getattr(made, "__module__", ""), getattr(made, "__qualname__", "")
    lies_in = sys.modules.get(module)
    if module == "__main__" or getattr(lies_in, name, None) is not made:
        return None
    if module.startswith(FILE_MODULE):
        module = Path(str(getattr(lies_in, "__file__", ""))).stem
    return (module, name) if all(part.isidentifier() for part in (*module.split("."), name)) else None


def _called(source: Called) -> tuple[str, str] | None:
    """The import line and the expression that give the workload. FILE.py:NAME is a Workload or what returns one."""
    file, _, name = (source.arguments[-1] if source.arguments else "").rpartition(":")
    if not file.endswith(".py"):
        return _import(source.module, source.function), f"{source.function}({', '.join(map(repr, source.arguments))})"
    path = Path(file).expanduser().resolve()
    lies_in = next((each for each in [*sys.modules.values()] if getattr(each, "__file__", None) == str(path)), None)
    expression = name if isinstance(getattr(lies_in, name, None), Workload) else f"{name}()"
    return (_import(path.stem, name), expression) if path.stem.isidentifier() else None


def _unwrapping(dense: nn.Module) -> list[str]:
    """Lines that take off what only says how a model is run, as for the run."""
    lines = [f"model = model{_inner(dense)}  # without what only says how it is run"] if is_wrapper(dense) else []
    done: list[str] = []
    for name, part in unwrapped(dense).named_modules(remove_duplicate=False):
        if name and is_wrapper(part) and not name.startswith(tuple(f"{other}." for other in done)):
            done.append(name)
            lines.append(f'model.set_submodule("{name}", model.get_submodule("{name}"){_inner(part)})')
    return lines


def _inner(model: nn.Module) -> str:
    """`.module` of DataParallel, `._orig_mod` of torch.compile; of both one after the other."""
    path = ""
    while is_wrapper(model):
        inner = WRAPPERS[type(model).__name__]
        path, model = f"{path}.{inner}", getattr(model, inner)
    return path


def _folding(dense: nn.Module) -> tuple[list[str], list[str]]:
    """Import lines, and lines that make re-parametrised weights plain, as for the run."""
    found: dict[tuple[Reparametrization, str], None] = {}
    for module in unwrapped(dense).modules():
        found |= dict.fromkeys(reparametrized(module))
    if not found:
        return [], []
    names: dict[str, None] = {}
    lines = ["for module in model.modules():"]
    if any(by == "parametrize" for by, _ in found):
        names["parametrize"] = None
        lines += [
            '    for name in list(getattr(module, "parametrizations", ())):',
            "        parametrize.remove_parametrizations(module, name)",
        ]
    for by, name in found:
        if by != "parametrize":
            imported, ending, remove = _OLDER[by]
            names[imported] = None
            lines += [f'    if hasattr(module, "{name}_{ending}"):', f'        {remove}(module, "{name}")']
    return [f"from torch.nn.utils import {', '.join(sorted(names))}"], lines


_OLDER = {
    "prune": ("prune", "mask", "prune.remove"),
    "spectral_norm": ("remove_spectral_norm", "u", "remove_spectral_norm"),
    "weight_norm": ("remove_weight_norm", "g", "remove_weight_norm"),
}
"""What is imported, the ending of a tensor that a module has only with it, and what removes it."""


def _reading(record: Record) -> tuple[list[str], list[str]]:
    """Import lines, and lines that read tensors and sizes from the file."""
    keys = list(to_metadata(record.sizes))
    if not keys:
        return ["from safetensors.torch import load_file"], [f'tensors = load_file("{Safetensors.file}")']
    narrow = ["import narrow_layers  # the file beside the tensors"] if record.sizes.classes else []
    return ["import json", *narrow, "from safetensors import safe_open"], [
        f'with safe_open("{Safetensors.file}", "pt") as file:',
        "    tensors = {name: file.get_tensor(name) for name in file.keys()}",
        *(f'    {key} = json.loads(file.metadata()["{key}"])' for key in keys),
    ]


def _placing(record: Record) -> list[str]:
    """Lines that give the model its classes, tensors and sizes. Classes come first: with them tensors come and go."""
    lines: list[str] = []
    if record.sizes.classes:
        lines += [
            "for path, name in classes.items():",
            "    narrow_layers.become(model.get_submodule(path), name)",
        ]
    lines += [
        "for name, tensor in model.state_dict(keep_vars=True).items():",
        "    tensor.data = tensors[name]  # the same object with other values: what is shared stays shared",
    ]
    if record.sizes.numbers:
        lines += [
            "for path, numbers in sizes.items():",
            "    module = model.get_submodule(path)",
            "    for name, value in numbers.items():",
            "        setattr(module, name, type(getattr(module, name))(value))",
        ]
    if record.sizes.buffers:
        lines += ["for name in buffers:", "    model.get_buffer(name).data = tensors[name]"]
    return lines
