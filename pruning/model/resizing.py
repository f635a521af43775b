"""What torch's own layers say of their sizes, put right once their tensors are smaller."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from pruning.model.narrow_layers import NARROW, NarrowEmbedding


def resize_layers(smaller: nn.Module, model: nn.Module) -> None:
    """Each layer of `smaller`, a copy of `model` with smaller tensors, says what sizes it has.

    By name: blocks that were taken out have no layers any more.
    """
    befores = dict(model.named_modules(remove_duplicate=False))
    for path, after in smaller.named_modules():
        for types, resize in _RESIZES:
            if isinstance(after, types):
                resize(after, befores[path])


def _linear(layer: Any, _before: Any) -> None:
    layer.out_features, layer.in_features = layer.weight.shape


def _convolution(layer: Any, before: Any) -> None:
    """A channel a group stays a channel a group; other groups stay as many as they are."""
    first, second = layer.weight.shape[:2]
    if layer.transposed:
        layer.groups = first if before.groups == before.in_channels > 1 else before.groups
        layer.in_channels, layer.out_channels = first, second * layer.groups
    else:
        single = before.groups == before.in_channels > 1
        layer.groups = first * before.groups // before.out_channels if single else before.groups
        layer.in_channels, layer.out_channels = second * layer.groups, first


def _channels(layer: Any, before: Any) -> None:
    """Batch and instance norms."""
    owned = next((t for t in (layer.weight, layer.running_mean) if isinstance(t, Tensor)), None)
    if owned is not None:
        layer.num_features = len(owned)


def _group_norm(layer: Any, before: Any) -> None:
    """Groups that were removed as wholes are fewer of the same size."""
    if layer.weight is not None and len(layer.weight) != before.num_channels:
        layer.num_channels = len(layer.weight)
        if before.num_groups > 1:
            layer.num_groups = layer.num_channels * before.num_groups // before.num_channels


def _normalized(layer: Any, _before: Any) -> None:
    """Layer norm and RMS norm."""
    if layer.weight is not None:
        layer.normalized_shape = tuple(layer.weight.shape)


def _embedding(layer: Any, before: Any) -> None:
    """Where rows are gone there are as many words as before."""
    layer.num_embeddings = len(layer.row_of if isinstance(layer, NarrowEmbedding) else layer.weight)
    layer.embedding_dim = layer.weight.shape[1]


def _prelu(layer: Any, _before: Any) -> None:
    layer.num_parameters = len(layer.weight)


def _bilinear(layer: Any, _before: Any) -> None:
    layer.out_features, layer.in1_features, layer.in2_features = layer.weight.shape


def _cell(layer: Any, before: Any) -> None:
    layer.hidden_size, layer.input_size = layer.weight_hh.shape[1], layer.weight_ih.shape[1]


def _attention(layer: Any, before: Any) -> None:
    """Fewer heads, or another width of what goes in and out."""
    weights = [p for p in layer.parameters() if p.dim() == 2]
    olds = [p for p in before.parameters() if p.dim() == 2]
    if [p.shape for p in weights] == [p.shape for p in olds]:
        return
    layer.embed_dim = layer.out_proj.weight.shape[0]
    layer.num_heads = layer.out_proj.weight.shape[1] // layer.head_dim
    if type(layer) in NARROW:
        layer.__class__ = NARROW[type(layer)]


def _recurrent(layer: Any, before: Any) -> None:
    """One hidden size for all layers and directions is torch's; with several it becomes a class of ours."""
    layer.input_size = layer.weight_ih_l0.shape[1]
    if before.proj_size:
        return  # the states are projections of the hidden units, which stay as many as they are
    sizes = {getattr(layer, name).shape[1] for name, _ in layer.named_parameters() if name.startswith("weight_hh")}
    if len(sizes) == 1:
        layer.hidden_size = sizes.pop()
    elif type(layer) in NARROW:
        layer.__class__ = NARROW[type(layer)]


_RESIZES: tuple[tuple[tuple[type[nn.Module], ...], Callable[[Any, Any], None]], ...] = (
    ((nn.Linear,), _linear),
    ((nn.modules.conv._ConvNd,), _convolution),  # pyright: ignore[reportPrivateUsage]
    ((nn.modules.batchnorm._NormBase,), _channels),  # pyright: ignore[reportPrivateUsage]
    ((nn.GroupNorm,), _group_norm),
    ((nn.LayerNorm, nn.RMSNorm), _normalized),
    ((nn.Embedding, nn.EmbeddingBag), _embedding),
    ((nn.PReLU,), _prelu),
    ((nn.Bilinear,), _bilinear),
    ((nn.MultiheadAttention,), _attention),
    ((nn.RNNBase,), _recurrent),
    ((nn.LSTMCell, nn.GRUCell, nn.RNNCell), _cell),
)
"""Types of layers, and what sets their sizes."""
