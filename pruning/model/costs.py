"""What a network costs: parameters, non-zeros, bytes, gzipped bytes, MACs."""

import itertools
import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from safetensors.torch import save
from torch import Tensor, nn

from pruning.model.descriptions import Costs, Size
from pruning.model.file_length import file_length
from pruning.model.layer_table import model_macs
from pruning.model.macs import Macs, macs_of
from pruning.model.module_sizes import NO_SIZES, ModuleSizes, saved_tensors, to_metadata
from pruning.model.narrow_layers import NarrowEmbedding
from pruning.model.units import Keep, Masks, SkippableBlock, Slice, UnitGroup, parameter_shapes
from pruning.sliced_work import rest

GZIP_LEVEL = 6  # what the gzip command uses unless told otherwise
GZIP_FORMAT = 16 + zlib.MAX_WBITS
PACKED_AT_ONCE = 2**18  # bytes: some 10 ms


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
    """Length of the file after gzip. Rests on its way: a large file takes seconds."""
    packer, size = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_FORMAT), 0
    for start in range(0, len(file), PACKED_AT_ONCE):
        size += len(packer.compress(memoryview(file)[start : start + PACKED_AT_ONCE]))
        rest()
    return size + len(packer.flush())


@dataclass(frozen=True, eq=False)
class CostModel:
    """Answers what a cut would cost without cutting: made once for a model, asked at every slider position.

    `shapes` and `dtypes` are of the state dict's tensors, `macs` for one sample. `parameters` names each parameter
    once; `parameter_shapes` has a shared one under each of its names. `first_names` says of a tensor that the state
    dict holds twice how it is called first; `embeddings` are the weights of which rows can be removed with a table of
    those that are left.
    """

    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, torch.dtype]
    parameters: frozenset[str]
    macs: Macs
    parameter_shapes: Mapping[str, tuple[int, ...]]
    first_names: Mapping[str, str] = field(default_factory=dict[str, str])
    embeddings: frozenset[str] = frozenset()

    def after(self, groups: Iterable[UnitGroup], pruned: Mapping[str, int], keep: Keep | None = None) -> "Size":
        """The size once `pruned[name]` units of each group are removed. Without groups it is the size as it is.

        Units that are whole blocks are not equally large: `keep` says which stay. Of the bytes, numbers of modules that
        a file tells besides its tensors are not counted.
        """
        removed = [group for group in groups if pruned[group.name] and not group.fixed]
        blocks = [block for group in removed if group.blocks for block in _gone(group, (keep or {})[group.name])]
        gone = _lengths_gone([group for group in removed if not group.blocks], pruned)
        shapes = self._shapes(gone, blocks)
        parameters = sum(math.prod(shape) for name, shape in shapes.items() if name in self.parameters)
        left = [(group.attends, 1 - pruned[group.name] / group.units) for group in removed]
        return Size(parameters, self._bytes(shapes, gone, blocks), self._macs(shapes, blocks, left))

    def _shapes(self, gone: "_Lengths", blocks: Sequence[SkippableBlock]) -> dict[str, tuple[int, ...]]:
        """Of the tensors that are left."""
        shapes: dict[str, tuple[int, ...]] = {}
        skipped = tuple(f"{block.path}." for block in blocks)
        for name, shape in self.shapes.items():
            first = self.first_names.get(name, name)
            if not first.startswith(skipped):
                shorter = gone.get(first, {})
                shapes[name] = tuple(length - shorter.get(dim, 0) for dim, length in enumerate(shape))
        return shapes

    def _macs(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        blocks: Sequence[SkippableBlock],
        left: Sequence[tuple[Sequence[str], float]],
    ) -> int:
        """With tensors of these shapes and without the blocks; `left` are shares of heads by the modules that multiply
        them.
        """
        macs = self.macs.total - sum(self.macs.of_modules.get(block.path, 0) for block in blocks)
        for name, counted in self.macs.of_parameters.items():
            if name in shapes and (before := math.prod(self.shapes[name])):
                # a weight's MACs are its size times the positions it visits, which removal does not change
                macs -= round(counted * (1 - math.prod(shapes[name]) / before))
        for module, products in self.macs.of_products.items():
            macs -= round(products * (1 - min((share for modules, share in left if module in modules), default=1.0)))
        return macs

    def _bytes(self, shapes: Mapping[str, tuple[int, ...]], gone: "_Lengths", blocks: Sequence[SkippableBlock]) -> int:
        """Length of the file with tensors of these shapes, with tables where rows are gone, and with what became of
        the blocks.
        """
        narrow = [param for param, by_dim in gone.items() if param in self.embeddings and 0 in by_dim]
        tables = {
            f"{name.removesuffix('weight')}row_of": self.shapes[name][:1]
            for name in shapes
            if self.first_names.get(name, name) in narrow
        }
        dtypes = {**self.dtypes, **dict.fromkeys(tables, torch.int32)}
        classes = {block.path: block.becomes for block in blocks}
        classes |= {param.rpartition(".")[0]: NarrowEmbedding.__name__ for param in narrow}
        metadata = {"format": "pt", **to_metadata(ModuleSizes(classes=classes))}
        return file_length({**shapes, **tables}, dtypes, metadata)


_Lengths = dict[str, dict[int, int]]
"""Tensor -> dimension -> by how much it gets shorter."""


def _gone(group: UnitGroup, stays: Tensor) -> Iterable[SkippableBlock]:
    return itertools.compress(group.blocks, (~stays).tolist())


def _lengths_gone(groups: Iterable[UnitGroup], pruned: Mapping[str, int]) -> _Lengths:
    gone: _Lengths = {}
    for group in groups:
        for piece in group.pieces:
            assert isinstance(piece, Slice)  # what can be removed is a block or a slice
            by_dim = gone.setdefault(piece.param, {})
            by_dim[piece.dim] = by_dim.get(piece.dim, 0) + pruned[group.name] * piece.index.shape[1]
    return gone


def cost_model(model: nn.Module, example: Tensor) -> CostModel:
    """Read off the model what `CostModel` needs."""
    tensors = model.state_dict(keep_vars=True)
    first: dict[int, str] = {}
    return CostModel(
        shapes={name: tuple(tensor.shape) for name, tensor in tensors.items()},
        dtypes={name: tensor.dtype for name, tensor in tensors.items()},
        parameters=frozenset(name for name, _ in model.named_parameters()),
        macs=macs_of(model, example),
        parameter_shapes=parameter_shapes(model),
        first_names={name: first.setdefault(id(tensor), name) for name, tensor in tensors.items()},
        embeddings=frozenset(
            f"{name}.weight".removeprefix(".") for name, layer in model.named_modules() if type(layer) is nn.Embedding
        ),
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
