"""The one place where torch-pruning is used: who is pruned together with whom in a traced copy of a model, and the cut.

(DepGraph: Fang et al. 2023, arXiv 2301.12900.)
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from pruning.errors import SurgeryError, describe
from pruning.model.patching import replaced_forwards
from pruning.model.units import Slice, UnitGroup

OPAQUE = (nn.RNNBase, nn.MultiheadAttention)
"""Layers that are traced as one operation each; what is coupled with them stays whole."""


def traced(model: nn.Module, example: Tensor) -> tuple[nn.Module, Any]:
    """A copy of the model and its dependency graph, made with fresh arguments: torch-pruning's defaults leak."""
    copied = copy.deepcopy(model).eval()
    for parameter in copied.parameters():
        parameter.requires_grad_(True)  # tracing follows autograd; a frozen layer would be invisible
    opaque = [module for module in copied.modules() if isinstance(module, OPAQUE)]
    as_operations: dict[nn.Module, Callable[..., Any]] = {
        module: partial(_as_one_operation, module.forward) for module in opaque
    }
    with torch.enable_grad(), replaced_forwards(as_operations):
        try:
            graph = torch_pruning.DependencyGraph().build_dependency(
                copied,
                example_inputs=(example,),  # a bare tensor it would unpack, and trace a sample without its batch
                unwrapped_parameters=[],  # type: ignore[arg-type]
                customized_pruners={type(module): _NeverCut() for module in opaque},
                ignored_layers=[],
                ignored_params=[],
                verbose=False,
            )
        except Exception as error:
            raise SurgeryError(
                f"the network's coupling cannot be traced ({describe(error)}); choose granularity weights"
            ) from error
    return copied, graph


def _as_one_operation(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a layer so that autograd sees one operation between its inputs and all its outputs.

    Torch takes a recurrent layer or attention apart into operations that torch-pruning follows to wrong couplings.
    """
    with torch.no_grad():
        outputs, structure = tree_flatten(forward(*args, **kwargs))
    inputs = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor) and value.requires_grad]
    numbers = [i for i, value in enumerate(outputs) if isinstance(value, Tensor) and value.is_floating_point()]
    if not inputs:  # it is the first layer, and the model's input asks for no gradient
        inputs = [torch.zeros(1, requires_grad=True)]
    linked: Any = _OneOperation.apply(len(numbers), *(outputs[i] for i in numbers), *inputs)
    for i, value in zip(numbers, linked, strict=True):
        outputs[i] = value
    return tree_unflatten(outputs, structure)


class _OneOperation(torch.autograd.Function):
    """Gives the first `count` tensors back as the result of all the others. Never differentiated, only followed."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.clone() for tensor in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise RuntimeError("traced to see what is coupled, never differentiated")


class _NeverCut(torch_pruning.BasePruningFunc):
    """Tells torch-pruning that a layer's inputs and outputs are not pruned together; cutting either is refused
    earlier.
    """

    def prune_out_channels(self, layer: Any, idxs: Sequence[int]) -> Any:
        return layer

    def prune_in_channels(self, layer: Any, idxs: Sequence[int]) -> Any:
        return layer

    def get_out_channels(self, layer: Any) -> int:
        if isinstance(layer, nn.MultiheadAttention):
            return layer.embed_dim
        return (layer.proj_size or layer.hidden_size) * (2 if layer.bidirectional else 1)

    def get_in_channels(self, layer: Any) -> int:
        return layer.embed_dim if isinstance(layer, nn.MultiheadAttention) else layer.input_size


def channel_group(graph: Any, module: nn.Module, channels: Iterable[int]) -> Any:
    pruner = graph.get_pruner_of_module(module)
    return graph.get_pruning_group(module, pruner.prune_out_channels, list(channels))


def cut(copied: nn.Module, graph: Any, group: UnitGroup, pruned: Tensor) -> None:
    """Take the units out of the copy, in place."""
    first = group.ranked[0]
    assert isinstance(first, Slice)  # what can be removed is a slice
    channel_group(graph, copied.get_submodule(group.name), first.index[pruned.cpu()].flatten().tolist()).prune()


def renumber_norms(model: nn.Module, smaller: nn.Module) -> None:
    """A GroupNorm whose groups were pruned as wholes has fewer of the same size; torch-pruning keeps their number."""
    for before, after in zip(model.modules(), smaller.modules(), strict=True):
        if isinstance(before, nn.GroupNorm) and isinstance(after, nn.GroupNorm) and before.num_groups > 1:
            after.num_groups = after.num_channels * before.num_groups // before.num_channels
