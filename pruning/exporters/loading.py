"""From a file back to a network: as small as its tensors are, strict about names."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from pruning.errors import WorkloadError, describe
from pruning.model.devices import place
from pruning.model.module_sizes import NO_SIZES, ModuleSizes, change_classes, from_metadata, set_numbers
from pruning.model.narrow_layers import NarrowEmbedding
from pruning.model.preparation import open_model, require_finite
from pruning.model.resizing import resize_layers
from pruning.model.surgery import output_shape
from pruning.workload import Workload


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors or a .pt state dict file of one's own making.

    WorkloadError if they cannot be read.
    """
    return read_network(path)[0]


def read_network(path: Path) -> tuple[dict[str, Tensor], ModuleSizes]:
    """The same tensors, and what the file says of the modules' sizes: nothing in a file that was made otherwise."""
    try:
        tensors, metadata = _safetensors(path) if path.suffix == ".safetensors" else _pt(path)
        sizes = from_metadata(metadata)
    except FileNotFoundError:
        raise WorkloadError(f"{path}: no such file; check the path") from None
    except Exception as error:  # the unpickler raises whatever the bytes lead it to
        raise WorkloadError(
            f"{path}: not a readable weights file ({type(error).__name__}); export it again, or save model.state_dict()"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise WorkloadError(f"{path}: not a state dict of names and tensors; save model.state_dict()")
    require_finite(str(path), tensors)
    return tensors, sizes


def _safetensors(path: Path) -> tuple[Any, Mapping[str, str]]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def _pt(path: Path) -> tuple[Any, Mapping[str, str]]:
    tensors: Any = torch.load(path, map_location="cpu", weights_only=True)
    of_model = getattr(tensors, "_metadata", {}).get("", {})
    return tensors, {key: text for key, text in of_model.items() if isinstance(text, str)}


def load_network(
    workload: Workload, tensors: Mapping[str, Tensor], device: torch.device, sizes: ModuleSizes = NO_SIZES
) -> nn.Module:
    """The workload's network, smaller where the tensors are smaller, holding the tensors, in eval mode.

    Layers of torch's have the sizes that their tensors say; `sizes` says those of others. WorkloadError names the
    tensor that does not fit.
    """
    dense = open_model(workload, torch.device("cpu"))
    model = copy.deepcopy(dense)
    change_classes(model, sizes)
    _require_smaller(workload.name, _held(model, sizes), tensors)
    for name, tensor in _held(model, sizes).items():
        if tensor.shape != tensors[name].shape:
            # the same object with other data: whoever shares the parameter goes on sharing it
            tensor.data = tensor.data.new_zeros(tensors[name].shape)
    resize_layers(model, dense)
    set_numbers(model, sizes)
    held = _held(model, sizes)
    for name, tensor in held.items():
        # not by load_state_dict: a class may ask it for the version of the tensors, which files do not hold
        if tensor.shape == tensors[name].shape:
            tensor.data.copy_(tensors[name])
    _require_shared(workload.name, held, tensors)
    _require_rows(workload.name, model)
    expected = output_shape(dense, workload.example)
    try:
        found = output_shape(model, workload.example)
    except Exception as error:  # whatever a stranger's forward raises on tensors that do not fit one another
        raise WorkloadError(
            f"the file's tensors do not fit {workload.name}: with them it does not run on its example "
            f"({describe(error)}); choose its own workload, or export it again"
        ) from error
    if found != expected:
        raise WorkloadError(
            f"the file's tensors do not fit {workload.name}: with them its output has shape {found} and not "
            f"{expected}; choose its own workload"
        )
    return place(model.eval(), workload.example, device)


def _held(model: nn.Module, sizes: ModuleSizes) -> dict[str, Tensor]:
    """The model's own parameters and buffers, those that the file holds."""
    buffers = {name: buffer for name, buffer in model.named_buffers() if name in sizes.buffers}
    return {**model.state_dict(keep_vars=True), **buffers}


def _require_rows(name: str, model: nn.Module) -> None:
    """WorkloadError if a word is said to have a row that there is not: of other words than the example's nobody would
    know.
    """
    for path, layer in model.named_modules():
        if isinstance(layer, NarrowEmbedding):
            lowest, highest = (int(end) for end in layer.row_of.aminmax())
            if not -1 <= lowest <= highest < len(layer.weight):
                wrong = highest if lowest >= -1 else lowest
                raise WorkloadError(
                    f"the file's tensors do not fit {name}: {path}.row_of names row {wrong} of {len(layer.weight)}; "
                    "export it again"
                )


def _require_shared(name: str, held: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """WorkloadError if a tensor of two names is another in the file under the one than under the other."""
    for key, tensor in held.items():
        if tensor.shape != tensors[key].shape or not torch.equal(tensor, tensors[key].to(tensor)):
            raise WorkloadError(
                f"the file's tensors do not fit {name}: {key} shares its values with another tensor of the network, "
                "and in the file they differ; choose its own workload, or export it again"
            )


def _require_smaller(name: str, own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """WorkloadError unless the names are the same and no dimension of a tensor is larger or gone."""
    if missing := sorted(own.keys() ^ tensors.keys()):
        raise WorkloadError(
            f"the file and {name} differ in the tensors {', '.join(missing[:5])}; choose its own workload, or export "
            "it again"
        )
    for key, tensor in tensors.items():
        before, after = own[key].shape, tensor.shape
        if len(before) != len(after) or any(not (a == b or 1 <= a < b) for a, b in zip(after, before, strict=True)):
            raise WorkloadError(
                f"the file's tensors do not fit {name}: {key} has shape {list(after)} in the file and {list(before)} "
                "in the network, from which units can only be removed; choose its own workload"
            )
