from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pruning.errors import RecipeError
from pruning.options.constraints import Between, check
from pruning.training.distillation.distillation import DENSE

if TYPE_CHECKING:
    from torch import nn

    from pruning.training.loss_terms import LossTerm
    from pruning.workload import Workload


@dataclass(frozen=True)
class Features:
    """The network learns the dense network's activations: what some of its layers read, the last layer always.

    (Romero et al. 2015, "FitNets", arXiv 1412.6550.) Layers are Linear and convolutional ones that are called once in
    a pass. Units that are pruned are zero and stay so: their part of the difference remains.
    """

    compared: Annotated[int, Between(1, 64)] = 2
    """How many layers, spread evenly over the network up to the last; 1 is the last hidden activation alone."""
    weight: Annotated[float, Between(0.0, 100.0)] = 1.0
    """What the difference of the activations counts beside the task's loss."""

    formula: ClassVar[str] = "L + w · mean over layers of ‖a − a′‖² / ‖a′‖²"
    source: ClassVar[str] = "Romero 2015"
    cost: ClassVar[str] = "a pass of the dense network in each step"

    def __post_init__(self) -> None:
        check(self, "distillation")

    @property
    def teacher(self) -> str:
        return DENSE

    def term(self, workload: Workload, model: nn.Module, teacher: nn.Module) -> LossTerm:
        from pruning.training.distillation.comparing import LearntActivations, layers_behind_the_first

        names = layers_behind_the_first(teacher, workload.example)
        if not names:
            raise RecipeError(
                f"distillation features compares what layers behind the first read, and {workload.name} has no Linear "
                "or convolutional layer there that is called once in a pass: choose distillation outputs"
            )
        return LearntActivations(teacher, spread(names, self.compared), self.weight)


def spread(names: list[str], count: int) -> list[str]:
    """So many of the names, evenly over the list and up to its last; all of them where there are no more.

    Examples:
        >>> spread(["a", "b", "c", "d", "e"], 2)
        ['c', 'e']
    """
    count = min(count, len(names))
    return [names[-(-(place + 1) * len(names) // count) - 1] for place in range(count)]
