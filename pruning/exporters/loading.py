"""From a file's tensors back to a network: as large as the tensors say, strict about names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pruning.errors import WorkloadError, describe
from pruning.granularities import Channels
from pruning.model.devices import place
from pruning.model.preparation import open_model, require_finite
from pruning.model.surgery import remove_units
from pruning.model.units import Slice, UnitGroup
from pruning.workload import Workload


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors or a .pt state dict file of one's own making.

    WorkloadError if they cannot be read.
    """
    try:
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            tensors: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WorkloadError(f"{path}: no such file; check the path") from None
    except Exception as error:  # the unpickler raises whatever the bytes lead it to
        raise WorkloadError(f"{path}: not a readable weights file ({type(error).__name__}); export it again") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise WorkloadError(f"{path}: not a state dict of names and tensors; save model.state_dict()")
    require_finite(str(path), tensors)
    return tensors


def load_network(workload: Workload, tensors: Mapping[str, Tensor], device: torch.device) -> nn.Module:
    """The workload's network, made smaller where the tensors are smaller, holding the tensors, in eval mode."""
    model = open_model(workload, torch.device("cpu"))
    own = model.state_dict()
    if missing := sorted(own.keys() ^ tensors.keys()):
        raise WorkloadError(
            f"the file and {workload.name} differ in the tensors {', '.join(missing[:5])}; choose its own workload"
        )
    if any(own[name].shape != tensor.shape for name, tensor in tensors.items()):
        model = _shrunk(workload, model, tensors)
    try:
        model.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise WorkloadError(f"the file's tensors do not fit {workload.name} ({describe(error)})") from error
    return place(model.eval(), workload.example, device)


def _shrunk(workload: Workload, model: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The model with as many units in each group as the tensors have.

    Which ones is decided by loading, so the last are pruned.
    """
    groups = Channels().sorted_out(model, workload.example)[0]
    keep = {group.name: torch.arange(group.units) < _left(group, tensors) for group in groups}
    return remove_units(model, workload.example, groups, keep)


def _left(group: UnitGroup, tensors: Mapping[str, Tensor]) -> int:
    """How many units the tensors have, at least 1: shapes that no cut gives (none, 0) are left to load_state_dict."""
    first = group.ranked[0]
    assert isinstance(first, Slice)  # channels are slices
    rows = tensors[first.param].shape[:1]
    return max(1, max(rows, default=1) // first.index.shape[1])
