"""From a file's tensors back to a network: as small as they are, strict about names and about values."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning.errors import WorkloadError, describe
from pruning.files.shown import shown
from pruning.model.copying import deep_copy
from pruning.model.devices import place
from pruning.model.module_sizes import NO_SIZES, ModuleSizes, change_classes, set_numbers
from pruning.model.narrow_layers import NarrowEmbedding
from pruning.model.preparation import open_model
from pruning.model.resizing import resize_layers
from pruning.model.surgery import output_shape
from pruning.workload import Workload


def load_network(
    workload: Workload, tensors: Mapping[str, Tensor], device: torch.device, sizes: ModuleSizes = NO_SIZES
) -> nn.Module:
    """The workload's network, smaller where the tensors are smaller, holding the tensors, in eval mode.

    Layers of torch's have the sizes that their tensors say; `sizes` says those of others. WorkloadError names the
    tensor that does not fit, or whose values the network's type cannot hold.
    """
    dense = open_model(workload, torch.device("cpu"))
    model = deep_copy(dense)
    try:
        _resize(model, dense, workload.name, tensors, sizes)
    except WorkloadError:
        raise
    except Exception as error:  # classes and numbers of a stranger's file may make nonsense of any module
        raise WorkloadError(
            f"the file's tensors do not fit {workload.name}: its modules cannot have the sizes that it says "
            f"({describe(error)}); choose its own workload, or export it again"
        ) from error
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


def _resize(model: nn.Module, dense: nn.Module, name: str, tensors: Mapping[str, Tensor], sizes: ModuleSizes) -> None:
    """Make the model's modules and tensors as small as the file's, in place."""
    change_classes(model, sizes)
    if unknown := [buffer for buffer in sizes.buffers if buffer not in dict(model.named_buffers())]:
        raise WorkloadError(
            f"the file says that {shown(unknown[0])} became smaller, and the network has no such buffer; choose its "
            "own workload"
        )
    _require_smaller(name, _held(model, sizes), tensors)
    for key, tensor in _held(model, sizes).items():
        _require_kind(name, key, tensor.dtype, tensors[key])
        if tensor.shape != tensors[key].shape:
            # the same object with other data: whoever shares the parameter goes on sharing it
            tensor.data = tensor.data.new_zeros(tensors[key].shape)
    resize_layers(model, dense)
    set_numbers(model, sizes)


_EXACT = (
    {torch.float64, torch.float32, torch.float16, torch.bfloat16},
    {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8},
)
"""Types that may stand for one another where no value changes. A bool is no number, and 8 bits are no usual float."""


def _require_kind(name: str, key: str, own: torch.dtype, tensor: Tensor) -> None:
    """WorkloadError if the file's values are no values of the network's type: nothing is rounded without a word."""
    if tensor.dtype == own:
        return
    related = any(own in kind and tensor.dtype in kind for kind in _EXACT)
    if not related or not torch.equal(tensor.to(own).to(tensor.dtype), tensor):
        kinds, why = (str(tensor.dtype)[6:], str(own)[6:]), ", which cannot hold its values" if related else ""
        raise WorkloadError(
            f"the file's tensors do not fit {name}: {key} is {kinds[0]} in the file and {kinds[1]} in the network"
            f"{why}; save it as {kinds[1]}"
        )


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
            f"the file and {name} differ in the tensors {', '.join(map(shown, missing[:5]))}; choose its own workload, "
            "or export it again"
        )
    for key, tensor in tensors.items():
        before, after = own[key].shape, tensor.shape
        if len(before) != len(after) or any(not (a == b or 1 <= a < b) for a, b in zip(after, before, strict=True)):
            raise WorkloadError(
                f"the file's tensors do not fit {name}: {key} has shape {list(after)} in the file and {list(before)} "
                "in the network, from which units can only be removed; choose its own workload"
            )
