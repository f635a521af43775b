"""How important is a unit? One file a criterion, one line in the table."""

from pruning.criteria.activation import Activation
from pruning.criteria.conductance import Conductance
from pruning.criteria.criterion import Criterion, unit_scores
from pruning.criteria.magnitude import Magnitude
from pruning.criteria.random import Random
from pruning.criteria.taylor import Taylor

CRITERIA: dict[str, type[Criterion]] = {
    "magnitude": Magnitude,
    "random": Random,
    "taylor": Taylor,
    "activation": Activation,
    "conductance": Conductance,
}

__all__ = ["CRITERIA", "Activation", "Conductance", "Criterion", "Magnitude", "Random", "Taylor", "unit_scores"]
