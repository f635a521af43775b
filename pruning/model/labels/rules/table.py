"""What each of torch's operations does to labels: one table. What is not in it loses its labels, with a word."""

from typing import Any

import torch

from pruning.model.labels.rules.call import Rule
from pruning.model.labels.rules.convolutions import convolution
from pruning.model.labels.rules.moving import (
    as_complex,
    as_real,
    concatenate,
    made_alike,
    move,
    pad,
    same,
    unfold_image,
    written_over,
)
from pruning.model.labels.rules.norms import batch_norm, group_norm, layer_norm, normalise
from pruning.model.labels.rules.pointwise import add_at, gated, pointwise
from pruning.model.labels.rules.products import distances, embedding, grouped_product, product, vector_product
from pruning.model.labels.rules.reductions import mix, over_positions, reduce
from pruning.model.labels.rules.unknown import unknown


def rule_of(func: Any) -> Rule:
    """The rule of an operation."""
    name = func.overloadpacket.__name__.removesuffix("_")
    if name in RULES:
        return RULES[name]
    if torch.Tag.pointwise in func.tags:
        return pointwise
    if torch.Tag.reduction in func.tags:
        return reduce
    aliases = any(argument.alias_info is not None for argument in func._schema.arguments[:1])
    return move if aliases and not func._schema.is_mutable else unknown


def _group(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


RULES: dict[str, Rule] = {
    **_group(product, "mm bmm addmm baddbmm"),
    **_group(grouped_product, "_grouped_mm"),
    **_group(vector_product, "mv dot"),
    **_group(convolution, "convolution _convolution"),
    **_group(
        batch_norm, "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm"
    ),
    **_group(layer_norm, "native_layer_norm _fused_rms_norm rms_norm"),
    **_group(group_norm, "native_group_norm"),
    **_group(written_over, "copy"),
    **_group(embedding, "embedding _embedding_bag"),
    **_group(concatenate, "cat stack concat"),
    **_group(pad, "constant_pad_nd"),
    **_group(gated, "glu"),
    **_group(same, "clone _to_copy contiguous detach alias lift_fresh lift_fresh_copy _conj"),
    **_group(
        move,
        "view _unsafe_view _reshape_alias reshape expand permute transpose t unsqueeze squeeze select slice split "
        "split_with_sizes unsafe_split unsafe_split_with_sizes chunk unsafe_chunk unbind unfold as_strided diagonal "
        "movedim repeat roll flip index index_select gather tile rot90 pixel_shuffle pixel_unshuffle channel_shuffle "
        "native_channel_shuffle reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d "
        "replication_pad2d replication_pad3d take_along_dim repeat_interleave masked_select tril triu",
    ),
    **_group(normalise, "_softmax _log_softmax _safe_softmax softmax log_softmax"),
    **_group(mix, "cumsum cumprod logcumsumexp cummax cummin sort topk kthvalue mode _fft_c2c _fft_r2c _fft_c2r"),
    **_group(
        reduce,
        "sum mean amax amin max min var std var_mean std_mean prod argmax argmin logsumexp norm linalg_vector_norm any "
        "all median nanmean count_nonzero",
    ),
    **_group(
        over_positions,
        "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d "
        "avg_pool3d adaptive_avg_pool1d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool2d "
        "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d upsample_nearest1d upsample_nearest2d "
        "upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d upsample_bilinear2d "
        "upsample_linear1d upsample_trilinear3d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa "
        "grid_sampler_2d grid_sampler_3d",
    ),
    **_group(unfold_image, "im2col"),
    **_group(add_at, "index_add scatter_add scatter index_put scatter_reduce index_copy masked_scatter"),
    **_group(as_complex, "view_as_complex"),
    **_group(as_real, "view_as_real"),
    **_group(distances, "_cdist_forward cdist _euclidean_dist"),
    **_group(
        pointwise, "hardswish prelu _prelu_kernel where masked_fill hardsigmoid silu mish dropout rrelu threshold"
    ),
    **_group(
        made_alike,
        "zeros_like ones_like empty_like full_like rand_like randn_like new_zeros new_ones new_empty new_full "
        "bernoulli fill zero uniform normal new_empty_strided",
    ),
}
"""Name of the operation, as torch takes networks apart -> what it does to labels."""
