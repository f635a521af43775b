"""The error of a layer's output when one weight is pruned and the others of its row make up for it."""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.criteria.calibration import Calibration, input_sums, precise
from pruning.errors import WorkloadError
from pruning.model.layer_types import is_convolution
from pruning.model.padding import sides

HESSIAN_BYTES = 512 * 2**20
"""All X Xᵀ that are gathered in one pass over the data; a layer that needs more has a pass of its own."""

STEADY = 1e6
"""Up to this ratio of the largest to the smallest eigenvalue float64 keeps four digits of what is taken off H⁻¹."""

PATCH_BYTES = 32 * 2**20
"""Unfolded patches of a convolution at a time."""


def removal_errors(
    model: nn.Module, params: Iterable[str], calibration: Calibration, damping: float
) -> dict[str, Tensor]:
    """Weight name -> w²/(2 [H⁻¹]ᵢᵢ) of each of its weights, in the weight's shape; H = X Xᵀ of the layer's inputs.

    `damping` is added to the diagonal of H, as a share of its mean.
    """
    errors: dict[str, Tensor] = {}
    for together in _in_passes(model, sorted(params)):
        hessians = input_sums(model, together, calibration, _hessian)
        for param in together:
            errors[param] = _errors(param, model.get_parameter(param).detach(), hessians.pop(param), damping)
    return errors


def _errors(param: str, weight: Tensor, hessian: Tensor, damping: float) -> Tensor:
    """w²/(2 [H⁻¹]ᵢᵢ) of each weight, in the weight's shape; `hessian` is [groups, d, d]."""
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    # H is scaled to a mean diagonal of 1, so that rounding is the same for inputs of any size; inputs that are
    # always 0 have scale 0: removing their weights changes nothing
    scale = diagonal.mean(dim=1)
    hessian = hessian / torch.where(scale > 0, scale, 1.0)[:, None, None]
    hessian.diagonal(dim1=1, dim2=2).add_(damping)
    inverse = _inverted(param, damping, hessian)
    rows = precise(weight).reshape(len(hessian), -1, hessian.shape[-1])
    # [H⁻¹]ᵢᵢ of each row's own live weights; for weights that are 0 any number will do
    left = inverse.diagonal(dim1=1, dim2=2)[:, None].expand_as(rows).clone()
    for group in range(len(rows)):
        for live, alike in _with_zeros(rows[group]):
            left[group, alike[:, None], live] = _diagonal_among(live, hessian[group], inverse[group], param, damping)
    losses = rows.square() * (scale[:, None, None] / (2 * left))
    return losses.reshape(weight.shape).float().to(weight.device)


def _inverted(param: str, damping: float, hessian: Tensor) -> Tensor:
    """H⁻¹ [..., d, d]; WorkloadError names the layer where there is none."""
    factor, failed = torch.linalg.cholesky_ex(hessian)
    smallest = factor.diagonal(dim1=-2, dim2=-1).square().min()
    if bool(failed.any()) or float(smallest) <= hessian.shape[-1] * torch.finfo(hessian.dtype).eps:
        raise WorkloadError(
            f"{param.rpartition('.')[0]}: the inputs of this layer do not tell all its weights apart, so that X Xᵀ "
            f"has no inverse; raise criterion.damping, which is {damping:g}"
        )
    return torch.cholesky_inverse(factor)


def _diagonal_among(live: Tensor, hessian: Tensor, inverse: Tensor, param: str, damping: float) -> Tensor:
    """The diagonal of the inverse of H [d, d] without its pruned rows and columns: [live]."""
    gone = torch.ones(len(hessian), device=live.device).index_fill_(0, live, 0).nonzero().flatten()
    # eigenvalues lie between the damping and about d: what follows loses digits by the square of their ratio
    steady = len(hessian) <= STEADY * damping
    if len(gone) > len(live) or not steady:
        return _inverted(param, damping, hessian[live[:, None], live]).diagonal()
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


def _in_passes(model: nn.Module, params: Sequence[str]) -> Iterator[list[str]]:
    """The parameters in runs whose Hessians together fit into `HESSIAN_BYTES`, at least one at a time."""
    run: list[str] = []
    size = 0
    for param in params:
        weight = model.get_parameter(param)
        module = model.get_submodule(param.rpartition(".")[0])
        groups = module.groups if is_convolution(module) else 1
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
    if not is_convolution(layer):
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
    unfolded = F.pad(inputs, sides(layer))
    dims = len(layer.kernel_size)
    for dim, (size, stride, dilation) in enumerate(zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)):
        unfolded = unfolded.unfold(2 + dim, dilation * (size - 1) + 1, stride)[..., ::dilation]
    # [samples, in, places..., kernel...] -> [in, kernel..., samples, places...]
    order = [1, *range(2 + dims, 2 + 2 * dims), 0, *range(2, 2 + dims)]
    per_group = inputs.shape[1] // layer.groups * math.prod(layer.kernel_size)
    return unfolded.permute(order).reshape(layer.groups, per_group, -1)
