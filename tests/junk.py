"""Whether junk in what reads pruned units changes anything: the contract of what falls together, exact in float64."""

import copy

import torch
from torch import Tensor, nn

from pruning.granularities import Granularity
from pruning.model.labels.dependencies import dependencies_of
from pruning.model.surgery import masked_copy
from pruning.model.units import Slice
from pruning.testing.junk import junked_copy


@torch.no_grad()
def check_junk_is_never_read(model: nn.Module, inputs: Tensor, granularity: Granularity) -> int:
    """AssertionError if the output is another by a bit. Returns how many pieces held junk."""
    model = copy.deepcopy(model).double().eval()
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    groups, _ = granularity.sorted_out(model, inputs[:1])
    found = dependencies_of(model, inputs[:1])
    read = {(axis.param, axis.dim) for axis in found.read - found.written}
    pieces = [p for group in groups for p in group.pieces if isinstance(p, Slice) and (p.param, p.dim) in read]
    # every third unit goes: of four heads the first and the last, never all
    keep = {group.name: (torch.arange(group.units) % 3 != 0) | (group.units == 1) for group in groups}
    expected = masked_copy(model, groups, keep)(inputs)
    assert bool(expected.isfinite().all())
    output = junked_copy(model, groups, keep, pieces)(inputs)
    assert torch.equal(output, expected), f"by {float((output - expected).abs().max()):.1e}"
    return len(pieces)
