"""Pushing units to zero while the network is trained: a method a file, one table."""

from pruning.training.regularisers.batchnorm_scale import BatchNormScale
from pruning.training.regularisers.group_lasso import GroupLasso
from pruning.training.regularisers.hard_concrete import HardConcrete
from pruning.training.regularisers.l1 import L1
from pruning.training.regularisers.l2 import L2
from pruning.training.regularisers.movement import SoftMovement
from pruning.training.regularisers.none import NoRegulariser
from pruning.training.regularisers.regulariser import Regulariser

REGULARISERS: dict[str, type[Regulariser]] = {
    "none": NoRegulariser,
    "l1": L1,
    "l2": L2,
    "group_lasso": GroupLasso,
    "hard_concrete": HardConcrete,
    "movement": SoftMovement,
    "batchnorm_scale": BatchNormScale,
}
"""Kind -> class; the order in which they are offered."""
