"""What a regulariser adds to the loss of one training."""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pruning.model.units import UnitGroup
from pruning.training.loss_terms import LossTerm, Moment

SMALLEST = 1e-24
"""Of a sum of squares under a root: the slope of the root at 0 is infinite."""


class Penalty(LossTerm):
    """A term of the loss of one training, that pushes units to zero."""

    @abstractmethod
    def sizes(self, model: nn.Module) -> dict[str, Tensor]:
        """How large the units are that it pushes to zero: group name -> float32 [units], none below 0."""
        ...


class WeightPenalty(Penalty):
    """λ · f(model), where f looks at the model's own parameters; λ rises over the first `warm_up` of the steps."""

    def __init__(
        self,
        strength: float,
        warm_up: float,
        value: Callable[[nn.Module], Tensor],
        sizes: Callable[[nn.Module], dict[str, Tensor]],
    ) -> None:
        self._strength, self._warm_up = strength, warm_up
        self._value, self._sizes = value, sizes

    def added(self, moment: Moment) -> Tensor:
        return warmed_up(self._strength, self._warm_up, moment.step, moment.steps) * self._value(moment.model)

    @torch.no_grad()
    def sizes(self, model: nn.Module) -> dict[str, Tensor]:
        return self._sizes(model)


def warmed_up(strength: float, warm_up: float, step: int, steps: int) -> float:
    """The strength at a step: it rises on a straight line over the share `warm_up` of the steps, then it stays."""
    rising = warm_up * steps
    return strength if step + 1 >= rising else strength * (step + 1) / rising


def weights_of(model: nn.Module, groups: Sequence[UnitGroup]) -> list[nn.Parameter]:
    """Every tensor whose values rank units, once."""
    names = dict.fromkeys(name for group in groups for name in group.params)
    return list({id(parameter): parameter for parameter in map(model.get_parameter, names)}.values())


def norms(model: nn.Module, group: UnitGroup) -> Tensor:
    """The L2 norm of what ranks each unit: float32 [units], with slope 0 where a unit is zero."""
    if group.of_weights:
        return model.get_parameter(group.params[0]).float().flatten().abs()
    squares = torch.zeros(group.units, device=model.get_parameter(group.params[0]).device)
    for piece in group.ranked:
        squares = squares + piece.sums(model.get_parameter(piece.param).float().square(), group.units)
    return squares.clamp(min=SMALLEST).sqrt()


def all_norms(model: nn.Module, groups: Sequence[UnitGroup]) -> dict[str, Tensor]:
    """Group name -> the L2 norm of each unit, float32 [units]."""
    return {group.name: norms(model, group) for group in groups}


def ranked_values(group: UnitGroup, model: nn.Module) -> Tensor:
    """How many values rank each unit: float32 [units]."""
    ones = {name: torch.ones_like(model.get_parameter(name), dtype=torch.float32) for name in group.params}
    return group.sums(ones)
