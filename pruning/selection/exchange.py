"""Single weights that are pruned change places with weights that are not: as many as before stay in every layer."""

import torch
from torch import Tensor


def exchanged(keep: Tensor, sizes: Tensor, slopes: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Drop a share of the kept weights of one layer and grow as many: one update of RigL.

    (Evci et al. 2020, arXiv 1911.11134, algorithm 1.) Those with the smallest size are dropped, and those of all that
    are then not kept grow whose slope is largest; of equal ones the first. A dropped weight that would grow at once
    simply stays.

    Args:
        keep: bool [units], True where a weight stays.
        sizes: |w| [units].
        slopes: |∂L/∂w| of the dense layer [units].
        share: Of the kept weights, in [0, 1].

    Returns:
        The new `keep`, of which as many are True; and which weights are new, both bool [units].

    Examples:
        >>> keep, slopes = torch.tensor([True, True, False, False]), torch.tensor([0.0, 0.0, 1.0, 2.0])
        >>> [each.tolist() for each in exchanged(keep, torch.tensor([0.1, 0.5, 0.0, 0.0]), slopes, 0.5)]
        [[False, True, False, True], [False, False, False, True]]
    """
    count = round(share * int(keep.sum()))
    dropped = _first(sizes.masked_fill(~keep, torch.inf), count)
    left = keep.index_fill(0, dropped, False)
    grown = _first(-slopes.masked_fill(left, -torch.inf), count)
    now = left.index_fill(0, grown, True)
    return now, now & ~keep


def _first(values: Tensor, count: int) -> Tensor:
    """The places of the `count` smallest values, of equal ones the first: int64 [count]."""
    return values.argsort(stable=True)[:count]
