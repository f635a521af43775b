"""Putting a cut network right without labels: a method a file, one table."""

from pruning.repair.batchnorm import BatchNorm
from pruning.repair.bias import Bias
from pruning.repair.block import Block
from pruning.repair.least_squares import LeastSquares
from pruning.repair.none import NoRepair
from pruning.repair.norms_and_biases import NormsAndBiases
from pruning.repair.optimal_brain import OptimalBrain
from pruning.repair.repair import Repair
from pruning.repair.rescale import Rescale

REPAIRS: dict[str, type[Repair]] = {
    "none": NoRepair,
    "batchnorm": BatchNorm,
    "bias": Bias,
    "rescale": Rescale,
    "least_squares": LeastSquares,
    "optimal_brain": OptimalBrain,
    "block": Block,
    "norms_and_biases": NormsAndBiases,
}
"""Kind -> class; the order in which they are offered."""
