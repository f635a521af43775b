import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.calibration import Calibration, input_sums, precise
from pruning.errors import WorkloadError
from pruning.fields import Between, check
from pruning.layers import CONVOLUTIONS, WITH_CHANNELS
from pruning.units import UnitGroup

HESSIAN_BYTES = 512 * 2**20
"""All X Xᵀ that are gathered in one pass over the data; a layer that needs more has a pass of its own."""

PATCH_BYTES = 32 * 2**20
"""Unfolded patches of a convolution at a time."""


@dataclass(frozen=True)
class OptimalBrainSurgeon:
    """How far the layer's output moves if the weight falls and the rest of its row makes up for it: w²/(2 [H⁻¹]ᵢᵢ).

    (Hassibi and Stork 1993, "Second order derivatives for network pruning"; layer by layer as in Frantar and Alistarh
    2022, arXiv 2208.11580.) H = X Xᵀ in float64, X [in, n] the layer's inputs; of a convolution its patches
    [in / groups · kernel, n], one H for each group. The score is half the squared error over all n. Scores [units];
    units add up what they own, as if each weight were removed alone. One forward pass over the data (more where all H
    together exceed 512 MB), one inverse of [in, in] for each layer.
    """

    damping: Annotated[float, Between(0.0, 1.0)] = 0.01
    """Added to the diagonal of H, as a share of its mean: more makes the inverse steadier and the score more like
    magnitude."""

    formula: ClassVar[str] = "w² / (2 [(X Xᵀ + λI)⁻¹]ᵢᵢ)"
    source: ClassVar[str] = "Hassibi 1993, Frantar 2022"
    cost: ClassVar[str] = "one forward pass over 1024 training samples, one matrix inverse for each layer"
    fits: ClassVar[tuple[str, ...]] = ("weights", "kernels", "blocks", "channels")
    layers: ClassVar[tuple[type[nn.Module], ...]] = WITH_CHANNELS

    def __post_init__(self) -> None:
        check(self, "criterion")

    def why_not(self, model: nn.Module, group: UnitGroup) -> str:
        for param in group.params:
            module = model.get_submodule(param.rpartition(".")[0])
            mode = getattr(module, "padding_mode", "zeros")
            if mode != "zeros":
                return f"optimal_brain_surgeon knows only padding with zeros, and this pads with {mode}: choose wanda"
        return ""

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        for group in groups:
            if reason := self.why_not(model, group):
                raise WorkloadError(f"{group.name}: {reason}")
        values: dict[str, Tensor] = {}
        for params in _rounds(model, sorted({param for group in groups for param in group.params})):
            hessians = input_sums(model, params, calibration, _hessian)
            for param in params:
                values[param] = self._losses(param, model.get_parameter(param).detach(), hessians.pop(param))
        return {group.name: group.sums(values) for group in groups}

    def _losses(self, param: str, weight: Tensor, hessian: Tensor) -> Tensor:
        """w²/(2 [H⁻¹]ᵢᵢ) of each weight, in the weight's shape; `hessian` is [groups, d, d]."""
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        # H is scaled to a mean diagonal of 1, so that rounding is the same for inputs of any size; inputs that are
        # always 0 have scale 0: removing their weights changes nothing
        scale = diagonal.mean(dim=1)
        hessian = hessian / torch.where(scale > 0, scale, 1.0)[:, None, None]
        hessian.diagonal(dim1=1, dim2=2).add_(self.damping)
        factor, failed = torch.linalg.cholesky_ex(hessian)
        smallest = factor.diagonal(dim1=1, dim2=2).square().min()
        if bool(failed.any()) or float(smallest) <= hessian.shape[-1] * torch.finfo(hessian.dtype).eps:
            raise WorkloadError(
                f"{param.rpartition('.')[0]}: the inputs of this layer do not tell all its weights apart, so that X Xᵀ "
                f"has no inverse; raise criterion.damping, which is {self.damping:g}"
            )
        inverse = torch.cholesky_inverse(factor).diagonal(dim1=1, dim2=2)
        rows = precise(weight).reshape(len(hessian), -1, hessian.shape[-1])
        losses = rows.square() * (scale[:, None] / (2 * inverse))[:, None]
        return losses.reshape(weight.shape).float().to(weight.device)


def _rounds(model: nn.Module, params: Sequence[str]) -> Iterator[list[str]]:
    """The parameters in runs whose Hessians together fit into `HESSIAN_BYTES`, at least one at a time."""
    run: list[str] = []
    size = 0
    for param in params:
        weight = model.get_parameter(param)
        module = model.get_submodule(param.rpartition(".")[0])
        groups = module.groups if isinstance(module, CONVOLUTIONS) else 1
        needs = 8 * groups * (weight.numel() // len(weight)) ** 2
        if run and size + needs > HESSIAN_BYTES:
            yield run
            run, size = [], 0
        run.append(param)
        size += needs
    if run:
        yield run


def _hessian(layer: nn.Module, inputs: Tensor) -> Tensor:
    """X Xᵀ of one batch, [groups, d, d]."""
    if not isinstance(layer, CONVOLUTIONS):
        rows = precise(inputs.reshape(-1, inputs.shape[-1]))
        return (rows.T @ rows)[None]
    total: Tensor | None = None
    start = 0
    while start < len(inputs):
        patches = _patches(layer, inputs[start : start + 1])
        several = max(1, PATCH_BYTES // (8 * patches.numel()))
        if several > 1:
            patches = _patches(layer, inputs[start : start + several])
        columns = precise(patches)
        product = columns @ columns.transpose(1, 2)
        total = product if total is None else total + product
        start += several
    assert total is not None  # a batch holds at least one sample
    return total


def _patches(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, inputs: Tensor) -> Tensor:
    """What each place of the output reads: [groups, in / groups · kernel, samples · places]."""
    sides: list[int] = []
    for dim in reversed(range(len(layer.kernel_size))):
        if isinstance(layer.padding, str):
            both = layer.dilation[dim] * (layer.kernel_size[dim] - 1) if layer.padding == "same" else 0
            sides += [both // 2, both - both // 2]
        else:
            sides += [layer.padding[dim]] * 2
    unfolded = F.pad(inputs, sides)
    dims = len(layer.kernel_size)
    for dim, (size, stride, dilation) in enumerate(zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)):
        unfolded = unfolded.unfold(2 + dim, dilation * (size - 1) + 1, stride)[..., ::dilation]
    # [samples, in, places..., kernel...] -> [in, kernel..., samples, places...]
    order = [1, *range(2 + dims, 2 + 2 * dims), 0, *range(2, 2 + dims)]
    per_group = inputs.shape[1] // layer.groups * math.prod(layer.kernel_size)
    return unfolded.permute(order).reshape(layer.groups, per_group, -1)
