"""What a limited child does with a .pt file: torch reads it, and plain tensors come out as .safetensors.

Imported there and nowhere else: `pruning.exporters.reading` names it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pruning.errors import WorkloadError
from pruning.files.shown import shown

MADE = "tensors.safetensors"


def to_safetensors(given: Path, folder: Path) -> None:
    """Write the tensors of the state dict into the folder. WorkloadError names one that is not plain.

    What the state dict says of the model itself besides, texts by their names, comes along as the file's metadata.
    """
    torch.set_num_threads(1)
    loaded: Any = torch.load(given, map_location="cpu", weights_only=True)
    if not isinstance(loaded, Mapping):
        raise WorkloadError("not a state dict of names and tensors; save model.state_dict()")
    seen: set[int] = set()
    plain = {name: _plain(name, tensor, seen) for name, tensor in loaded.items()}
    save_file(plain, folder / MADE, metadata=_metadata(loaded))


def _plain(name: object, tensor: object, seen: set[int]) -> Tensor:
    """The tensor with a storage of its own."""
    if not isinstance(name, str):
        raise WorkloadError(f"a key of it is a {type(name).__name__} and not a name; save model.state_dict()")
    if type(tensor) not in (Tensor, nn.Parameter) or not isinstance(tensor, Tensor):
        raise WorkloadError(f"{shown(name)} is a {type(tensor).__name__} and no plain tensor; save model.state_dict()")
    dense = tensor.layout == torch.strided and not tensor.is_nested and not tensor.is_quantized
    if not dense or tensor.device.type != "cpu" or tensor.is_complex():
        raise WorkloadError(
            f"{shown(name)} is no dense tensor of real numbers in memory; save tensor.to_dense(), of real numbers"
        )
    storage = tensor.untyped_storage()
    if storage.nbytes() < tensor.numel() * tensor.element_size():
        raise WorkloadError(f"{shown(name)} shows values several times (it is expanded); save tensor.contiguous()")
    tensor = tensor.detach()
    own = tensor.is_contiguous() and storage.nbytes() == tensor.numel() * tensor.element_size()
    if not own or storage.data_ptr() in seen:
        return tensor.contiguous().clone()
    seen.add(storage.data_ptr())
    return tensor


def _metadata(loaded: Any) -> dict[str, str]:
    of_modules: Any = getattr(loaded, "_metadata", None)
    of_model: Any = of_modules.get("") if isinstance(of_modules, dict) else None
    told: dict[object, object] = of_model if isinstance(of_model, dict) else {}
    return {key: text for key, text in told.items() if isinstance(key, str) and isinstance(text, str)}
