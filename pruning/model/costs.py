"""What a network costs: parameters, non-zeros, bytes, gzipped bytes, MACs."""

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from safetensors.torch import save
from torch import Tensor, nn

from pruning.model.descriptions import Costs, Size
from pruning.model.layer_table import model_macs
from pruning.model.macs import Macs, macs_of
from pruning.model.module_sizes import NO_SIZES, ModuleSizes, saved_tensors, to_metadata
from pruning.model.units import Masks, Slice, UnitGroup, parameter_shapes

GZIP_LEVEL = 6  # what the gzip command uses unless told otherwise


def costs(model: nn.Module, example: Tensor, sizes: ModuleSizes = NO_SIZES) -> Costs:
    """Count everything. The gzip size is measured by compressing, so this takes a few hundred ms for 10 MB.

    `sizes` are those of a model without some of its units, which its file holds too.
    """
    file = model_file(model, sizes)
    return Costs(
        parameters=sum(p.numel() for p in model.parameters()),
        nonzero=sum(int(torch.count_nonzero(p)) for p in model.parameters()),
        bytes=len(file),
        gzip_bytes=gzip_size(file),
        macs=model_macs(model, example),
    )


def model_file(model: nn.Module, sizes: ModuleSizes = NO_SIZES) -> bytes:
    """The .safetensors file of a model: what an export writes, byte for byte."""
    return file_bytes(saved_tensors(model, sizes), sizes)


def file_bytes(tensors: Mapping[str, Tensor], sizes: ModuleSizes = NO_SIZES) -> bytes:
    """The .safetensors file that holds these tensors and sizes."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    metadata = {"format": "pt", **to_metadata(sizes)}
    file = save(plain, metadata=metadata)
    return file if len(metadata) == 1 else _in_order(file, metadata)


def _in_order(file: bytes, metadata: Mapping[str, str]) -> bytes:
    """The library writes metadata in another order at each call; of equal networks the files shall be equal."""
    end = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:end]) | {"__metadata__": metadata}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text = text.ljust(-(-len(text) // 8) * 8)  # the values begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + file[end:]


def gzip_size(file: bytes) -> int:
    """Length of the file after gzip."""
    return len(gzip.compress(file, GZIP_LEVEL, mtime=0))


@dataclass(frozen=True, eq=False)
class CostModel:
    """Answers what a cut would cost without cutting: made once for a model, asked at every slider position.

    `shapes` and `itemsizes` are of the state dict's tensors, `macs` for one sample. `parameters` names each parameter
    once; `parameter_shapes` has a shared one under each of its names.
    """

    shapes: Mapping[str, tuple[int, ...]]
    itemsizes: Mapping[str, int]
    parameters: frozenset[str]
    macs: Macs
    bytes: int
    parameter_shapes: Mapping[str, tuple[int, ...]]

    def after(self, groups: Iterable[UnitGroup], pruned: Mapping[str, int]) -> "Size":
        """The size once `pruned[name]` units of each group are removed. Without groups it is the size as it is.

        Of the bytes, names and sizes are counted as the dense network's file has them.
        """
        removed = [group for group in groups if pruned[group.name] and not group.fixed]
        gone: dict[str, dict[int, int]] = {}
        for group in removed:
            for piece in group.pieces:
                assert isinstance(piece, Slice)  # what can be removed is a slice
                by_dim = gone.setdefault(piece.param, {})
                by_dim[piece.dim] = by_dim.get(piece.dim, 0) + pruned[group.name] * piece.index.shape[1]
        parameters, size, macs = 0, self.bytes, self.macs.total
        for name, shape in self.shapes.items():
            before = after = 1
            for dim, length in enumerate(shape):
                before *= length
                after *= length - gone.get(name, {}).get(dim, 0)
            parameters += after if name in self.parameters else 0
            size -= (before - after) * self.itemsizes[name]
            # a weight's MACs are its size times the positions it visits, which removal does not change
            if before and name in self.macs.of_parameters:
                macs -= round(self.macs.of_parameters[name] * (1 - after / before))
        for module, products in self.macs.of_products.items():
            left = [1 - pruned[group.name] / group.units for group in removed if module in group.attends]
            macs -= round(products * (1 - min(left, default=1.0)))
        return Size(parameters, size, macs)


def cost_model(model: nn.Module, example: Tensor) -> CostModel:
    """Read off the model what `CostModel` needs."""
    tensors = model.state_dict()
    return CostModel(
        shapes={name: tuple(tensor.shape) for name, tensor in tensors.items()},
        itemsizes={name: tensor.element_size() for name, tensor in tensors.items()},
        parameters=frozenset(name for name, _ in model.named_parameters()),
        macs=macs_of(model, example),
        bytes=len(file_bytes(tensors)),
        parameter_shapes=parameter_shapes(model),
    )


def nonzero_after(model: nn.Module, masks: Masks) -> int:
    """Values of the parameters that are not zero once the masks are applied."""
    by_tensor = {id(model.get_parameter(name)): mask for name, mask in masks.items()}  # a shared one has several names
    total = 0
    for parameter in model.parameters():
        values = parameter.detach() != 0
        mask = by_tensor.get(id(parameter))
        total += int((values if mask is None else values & mask.to(values.device)).sum())
    return total
