import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.criteria.calibration import Calibration, input_sums, precise
from pruning.errors import WorkloadError
from pruning.model.layer_table import CONVOLUTIONS, WITH_CHANNELS
from pruning.model.units import UnitGroup
from pruning.options.constraints import Between, check

HESSIAN_BYTES = 512 * 2**20
"""All X Xᵀ that are gathered in one pass over the data; a layer that needs more has a pass of its own."""

STEADY = 1e6
"""Up to this ratio of the largest to the smallest eigenvalue float64 keeps four digits of what is taken off H⁻¹."""

PATCH_BYTES = 32 * 2**20
"""Unfolded patches of a convolution at a time."""


@dataclass(frozen=True)
class OptimalBrainSurgeon:
    """How far the layer's output moves if the weight is pruned and the row's live weights make up for it: w²/(2
    [H⁻¹]ᵢᵢ).

    (Hassibi and Stork 1993, "Second order derivatives for network pruning"; layer by layer as in Frantar and Alistarh
    2022, arXiv 2208.11580.) H = X Xᵀ in float64, X [in, n] the layer's inputs; of a convolution its patches [in /
    groups · kernel, n], one H for each group. The score is half the squared error over all n. Weights that are 0 have
    been pruned: they score 0 and make up for nothing, so that each row has the inverse of H among its live columns.
    Scores [units]; units add up what they own, as if each weight were removed alone. One forward pass over the data
    (more where all H together exceed 512 MB), one inverse of [in, in] for each layer, and for each pattern of zeros
    that its rows have one more of the live or of the pruned columns, whichever are fewer: up to 11 s on one core for
    1000 rows of 784 inputs that all have patterns of their own.
    """

    damping: Annotated[float, Between(0.0, 1.0)] = 0.01
    """Added to the diagonal of H, as a share of its mean: more makes the inverse steadier and the score more like
    magnitude."""

    formula: ClassVar[str] = "w² / (2 [(X Xᵀ + λI)⁻¹]ᵢᵢ)"
    source: ClassVar[str] = "Hassibi 1993, Frantar 2022"
    cost: ClassVar[str] = "one forward pass over 1024 training samples, an inverse for each pattern of zeros in a row"
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
        inverse = self._inverted(param, hessian)
        rows = precise(weight).reshape(len(hessian), -1, hessian.shape[-1])
        # [H⁻¹]ᵢᵢ of each row's own live weights; for weights that are 0 any number will do
        left = inverse.diagonal(dim1=1, dim2=2)[:, None].expand_as(rows).clone()
        for group in range(len(rows)):
            for live, alike in _with_zeros(rows[group]):
                left[group, alike[:, None], live] = self._diagonal_among(live, hessian[group], inverse[group], param)
        losses = rows.square() * (scale[:, None, None] / (2 * left))
        return losses.reshape(weight.shape).float().to(weight.device)

    def _inverted(self, param: str, hessian: Tensor) -> Tensor:
        """H⁻¹ [..., d, d]; WorkloadError names the layer where there is none."""
        factor, failed = torch.linalg.cholesky_ex(hessian)
        smallest = factor.diagonal(dim1=-2, dim2=-1).square().min()
        if bool(failed.any()) or float(smallest) <= hessian.shape[-1] * torch.finfo(hessian.dtype).eps:
            raise WorkloadError(
                f"{param.rpartition('.')[0]}: the inputs of this layer do not tell all its weights apart, so that X Xᵀ "
                f"has no inverse; raise criterion.damping, which is {self.damping:g}"
            )
        return torch.cholesky_inverse(factor)

    def _diagonal_among(self, live: Tensor, hessian: Tensor, inverse: Tensor, param: str) -> Tensor:
        """The diagonal of the inverse of H [d, d] without its pruned rows and columns: [live]."""
        gone = torch.ones(len(hessian), device=live.device).index_fill_(0, live, 0).nonzero().flatten()
        # eigenvalues lie between the damping and about d: what follows loses digits by the square of their ratio
        steady = len(hessian) <= STEADY * self.damping
        if len(gone) > len(live) or not steady:
            return self._inverted(param, hessian[live[:, None], live]).diagonal()
        # from H⁻¹ what the pruned make up for is taken off: H⁻¹ᵢᵢ − H⁻¹ᵢF (H⁻¹FF)⁻¹ H⁻¹Fᵢ
        factor = torch.linalg.cholesky(inverse[gone[:, None], gone])
        lost = torch.linalg.solve_triangular(factor, inverse[gone[:, None], live], upper=False)
        return inverse.diagonal()[live] - lost.square().sum(dim=0)


def _with_zeros(rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """For each pattern of zeros in rows [n, d]: the columns that are live [live], and the rows that have it [alike]."""
    patterns, which = (rows != 0).unique(dim=0, return_inverse=True)
    for number, live in enumerate(patterns):
        if bool(live.any()) and not bool(live.all()):
            yield live.nonzero().flatten(), (which == number).nonzero().flatten()


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
