"""Networks whose norms only scale and shift: in them a unit set to zero and a unit taken out are the same to rounding.

A norm's statistics rightly change with its units, and that difference would hide a wrong slice.
"""

import copy
from functools import partial

import torch
from torch import Tensor, nn

from pruning.api.result import PruningResult
from pruning.granularities import GRANULARITIES
from pruning.model.preparation import open_model
from pruning.model.surgery import masked_copy
from pruning.recipe.catalog import kind_of
from tests.zoo.cuts import CPU


def difference_without_statistics(result: PruningResult) -> float:
    """How far masked and removed lie apart in float64 where norms only scale and shift, as a share of the largest
    output.
    """
    dense = open_model(result.workload, CPU)
    granularity = GRANULARITIES[kind_of(result.recipe.granularity)]()
    groups, _ = granularity.sorted_out(dense, result.workload.example)
    masked = masked_copy(dense, [group for group in groups if group.name in result.keep], result.keep)
    inputs, _ = result.workload.test.batch(torch.arange(4), CPU)
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    # the fast path of torch's transformer layers would take the norms' weights and not call them
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            expected, output = (_with_plain_norms(model)(inputs) for model in (masked, result.model))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return float((output - expected).abs().max() / expected.abs().max())


def _with_plain_norms(model: nn.Module) -> nn.Module:
    plain = copy.deepcopy(model).double().eval()
    for module in plain.modules():
        if hasattr(config := getattr(module, "config", None), "_experts_implementation"):
            config._experts_implementation = "eager"  # the fused kernel of experts knows no float64
        if _is_norm(module):
            module.forward = partial(_scaled_and_shifted, module)
    return plain


def _is_norm(module: nn.Module) -> bool:
    """Norms of anybody's own too, but not BatchNorm: its statistics are numbers of each channel alone."""
    named_so = "Norm" in type(module).__name__ and not list(module.children())
    return named_so and not isinstance(module, nn.modules.batchnorm._BatchNorm)


def _scaled_and_shifted(norm: nn.Module, values: Tensor, *_: object, **__: object) -> Tensor:
    weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    if weight is not None:
        values = values * _along(norm, weight, values)
    return values if bias is None else values + _along(norm, bias, values)


def _along(norm: nn.Module, scale: Tensor, values: Tensor) -> Tensor:
    """A scale or shift [channels] as it meets the values: their last dimension, or the second where maps are normed."""
    of_maps = (
        isinstance(norm, nn.GroupNorm | nn.modules.instancenorm._InstanceNorm)
        or "2d" in type(norm).__name__
        or getattr(norm, "data_format", "") == "channels_first"
    )
    return scale.reshape(-1, *[1] * (values.dim() - 2)) if of_maps else scale
