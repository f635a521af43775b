"""Turns a network's unit groups into scores: how important is each unit? Knows nothing of which units are then pruned.

One file a criterion, one line in the table.
"""

from pruning.criteria.ablation import Ablation
from pruning.criteria.activation import Activation
from pruning.criteria.apoz import Apoz
from pruning.criteria.attribution import Attribution
from pruning.criteria.batchnorm_scale import BatchnormScale
from pruning.criteria.change import Change
from pruning.criteria.criterion import ANY, Criterion, LeavesOut, scores_weight, unit_scores
from pruning.criteria.distribution import Distribution
from pruning.criteria.geometric_median import GeometricMedian
from pruning.criteria.grasp import Grasp
from pruning.criteria.lamp import Lamp
from pruning.criteria.largest import Largest
from pruning.criteria.magnitude import Magnitude
from pruning.criteria.movement import Movement
from pruning.criteria.optimal_brain_damage import OptimalBrainDamage
from pruning.criteria.optimal_brain_surgeon import OptimalBrainSurgeon
from pruning.criteria.passes import LooksAtData
from pruning.criteria.random_scores import Random
from pruning.criteria.signed_square import SignedSquare
from pruning.criteria.snip import Snip
from pruning.criteria.synflow import Synflow
from pruning.criteria.taylor import Taylor
from pruning.criteria.wanda import Wanda
from pruning.model.passes import Passes

CRITERIA: dict[str, type[Criterion]] = {
    "magnitude": Magnitude,
    "random": Random,
    "taylor": Taylor,
    "largest": Largest,
    "signed_square": SignedSquare,
    "distribution": Distribution,
    "lamp": Lamp,
    "change": Change,
    "movement": Movement,
    "snip": Snip,
    "grasp": Grasp,
    "synflow": Synflow,
    "optimal_brain_damage": OptimalBrainDamage,
    "activation": Activation,
    "apoz": Apoz,
    "wanda": Wanda,
    "optimal_brain_surgeon": OptimalBrainSurgeon,
    "batchnorm_scale": BatchnormScale,
    "geometric_median": GeometricMedian,
    "ablation": Ablation,
    "attribution": Attribution,
}

__all__ = [
    "ANY",
    "CRITERIA",
    "Ablation",
    "Activation",
    "Apoz",
    "Attribution",
    "BatchnormScale",
    "Change",
    "Criterion",
    "Distribution",
    "GeometricMedian",
    "Grasp",
    "Lamp",
    "Largest",
    "LeavesOut",
    "LooksAtData",
    "Magnitude",
    "Movement",
    "OptimalBrainDamage",
    "OptimalBrainSurgeon",
    "Passes",
    "Random",
    "SignedSquare",
    "Snip",
    "Synflow",
    "Taylor",
    "Wanda",
    "scores_weight",
    "unit_scores",
]
