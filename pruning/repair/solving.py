"""Ridge regression of every row of a weight on its own live columns: exact, in float64, in bounded memory."""

import torch
from torch import Tensor

from pruning.repair.layer_by_layer import chunks
from pruning.sliced_work import rest

BYTES = 256 * 2**20
"""Systems of equations at a time."""
DIRECT = 2e11
"""Operations that single systems may take; beyond that all rows are solved together, step by step."""
STEPS = 300
NEAR = 1e-9
"""Conjugate gradients end once the residual is so much smaller than at the start."""


def solved(gram: Tensor, cross: Tensor, old: Tensor, live: Tensor, ridge: float) -> Tensor:
    """The weights w that minimise w G wᵀ − 2 w c + ridge |w − old|², each row on its live columns alone.

    Args:
        gram: G = XᵀX / n of what the layer reads, float64 [d, d].
        cross: c = XᵀY / n with what it should give, float64 [d, rows].
        old: The weights as they are, float64 [rows, d].
        live: Which of them may differ from 0, bool [rows, d].
        ridge: A share of G's mean diagonal; above 0.

    Returns:
        float64 [rows, d], 0 where not live.
    """
    strength = ridge * float(gram.diagonal().mean())
    if strength == 0 or not len(live):  # the layer reads zeros alone, or nothing of it is left
        return old * live
    wanted = cross.T + strength * old
    if bool((live == live[:1]).all()):
        return _alike(gram, wanted, live[0], strength)
    most = int(live.sum(dim=1).max())
    if len(live) * most**3 / 3 <= DIRECT:
        return _row_by_row(gram, wanted, live, strength)
    return _step_by_step(gram, wanted, old, live, strength)


def _alike(gram: Tensor, wanted: Tensor, live: Tensor, strength: float) -> Tensor:
    """All rows have the same live columns [d]: one system for all."""
    columns = live.nonzero().flatten()
    result = torch.zeros_like(wanted)
    if len(columns):
        system = gram[columns[:, None], columns].clone()
        system.diagonal().add_(strength)
        factor = torch.linalg.cholesky(system)
        result[:, columns] = torch.cholesky_solve(wanted[:, columns].T, factor).T
    return result


def _row_by_row(gram: Tensor, wanted: Tensor, live: Tensor, strength: float) -> Tensor:
    """A system for each row, those with about as many live columns together."""
    result = torch.zeros_like(wanted)
    counts = live.sum(dim=1)
    order = counts.argsort()
    start = 0
    while start < len(order):
        # so many that they fit, padded to the largest of them
        end = start + 1
        while end < len(order) and (end + 1 - start) * int(counts[order[end]]) ** 2 * 8 <= BYTES:
            end += 1
        rows = order[start:end]
        start = end
        most = int(counts[rows].max())
        if not most:
            continue
        # live columns first, in their order
        columns = live[rows].to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :most]
        there = live[rows].gather(1, columns)
        systems = gram[columns[:, :, None], columns[:, None, :]]
        systems = systems * (there[:, :, None] & there[:, None, :])
        diagonal = systems.diagonal(dim1=1, dim2=2)
        diagonal.copy_(torch.where(there, diagonal + strength, 1.0))
        right = wanted[rows].gather(1, columns) * there
        found = torch.cholesky_solve(right[:, :, None], torch.linalg.cholesky(systems)).squeeze(2)
        result[rows] = result[rows].scatter(1, columns, found * there)
        rest()
    return result


def _step_by_step(gram: Tensor, wanted: Tensor, old: Tensor, live: Tensor, strength: float) -> Tensor:
    """Conjugate gradients on all rows at once, begun at the old weights and scaled by the diagonal."""
    result = torch.empty_like(wanted)
    scale = gram.diagonal() + strength
    for rows in chunks(len(wanted), BYTES // (8 * 8 * wanted.shape[1])):
        alive = live[rows].to(gram.dtype)
        found = old[rows] * alive
        left = (wanted[rows] - found @ gram - strength * found) * alive
        scaled = left / scale
        way, size = scaled.clone(), (left * scaled).sum(dim=1, keepdim=True)
        begun = size.clone()
        for _ in range(STEPS):
            pushed = (way @ gram + strength * way) * alive
            length = size / (way * pushed).sum(dim=1, keepdim=True).clamp(min=torch.finfo(gram.dtype).tiny)
            found += length * way
            left -= length * pushed
            scaled = left / scale
            after = (left * scaled).sum(dim=1, keepdim=True)
            rest()
            if bool((after <= NEAR**2 * begun).all()):
                break
            way = scaled + after / size.clamp(min=torch.finfo(gram.dtype).tiny) * way
            size = after
        result[rows] = found
    return result
