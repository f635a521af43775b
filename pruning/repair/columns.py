"""Cutting a weight column by column, the columns behind making up for what is cut."""

import torch
from torch import Tensor

BLOCK = 128
"""Columns that are worked through before what they cost is added to all others."""


def compensated(hessian: Tensor, weight: Tensor, live: Tensor, damping: float) -> Tensor:
    """The weight [rows, d] with zeros where not `live` [rows, d]; `hessian` XᵀX / n [d, d], all in float64."""
    scale = hessian.diagonal().mean()
    if float(scale) == 0:  # the layer reads zeros alone
        return weight * live
    hessian = hessian / scale
    hessian.diagonal().add_(damping)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    factor = torch.linalg.cholesky(inverse, upper=True)
    weight = weight.clone()
    for start in range(0, weight.shape[1], BLOCK):
        end = min(start + BLOCK, weight.shape[1])
        part, errors = weight[:, start:end], torch.zeros_like(weight[:, start:end])
        for column in range(end - start):
            here = start + column
            error = part[:, column] * ~live[:, here] / factor[here, here]
            part[:, column:] -= error[:, None] * factor[here, here:end]
            part[:, column] *= live[:, here]
            errors[:, column] = error
        weight[:, end:] -= errors @ factor[start:end, end:]
    return weight
