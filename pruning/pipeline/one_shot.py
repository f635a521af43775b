"""From unit groups, their scores and a recipe to a decision: which units are pruned, and what that leaves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn

from pruning.events import PrunedValues
from pruning.model.copying import deep_copy
from pruning.model.costs import CostModel
from pruning.model.descriptions import Size
from pruning.model.surgery import remove_units, zeroed_note
from pruning.model.units import Keep, Masks, UnitGroup, apply_masks, masks_for, owned_values
from pruning.recipe.recipe import Recipe
from pruning.selection.allocation import CostLeft
from pruning.selection.amounts import Amount
from pruning.selection.ranking import Position, Ranking, position, rank, select


@dataclass(frozen=True, eq=False)
class Decision:
    """Which units of a network are pruned, and what follows from it.

    `scores` are of the units, group name -> [units]. `amount` is what was asked for, with what depends on the network's
    costs worked out; `keep` says which units stay and `counts` how many are pruned. Masks and sizes are made when they
    are first asked for.
    """

    groups: tuple[UnitGroup, ...]
    scores: Mapping[str, Tensor]
    amount: Amount
    keep: Keep
    counts: Position
    cost: CostModel
    removable: bool

    @cached_property
    def masks(self) -> Masks:
        """Parameter name -> bool of its shape, True where a value stays; without the parameters that stay whole."""
        return masks_for(self.groups, self.keep, self.cost.parameter_shapes)

    @cached_property
    def sizes(self) -> Size:
        """The network's size, after removal where units can be removed."""
        removed = self.groups if self.removable else ()
        return self.cost.after(removed, {share.name: share.pruned for share in self.counts.shares}, self.keep)

    @property
    def zeroed(self) -> str:
        """A sentence about the groups whose pruned units cannot be removed, where others can; empty if all can."""
        return zeroed_note(self.groups, self.keep) if self.removable else ""

    @cached_property
    def values(self) -> PrunedValues:
        """How many values of the parameters are pruned, of how many that could be, of how many there are."""
        shapes = self.cost.parameter_shapes
        return PrunedValues(
            pruned=sum(stays.numel() - int(stays.count_nonzero()) for stays in self.masks.values()),
            prunable=owned_values(self.groups, shapes),
            total=sum(math.prod(shapes[name]) for name in self.cost.parameters),
        )

    @property
    def most_bytes(self) -> int:
        """Of memory: who stays and all masks. Scores and costs belong to whoever ranked the units."""
        masked = {piece.param for group in self.groups for piece in group.pieces} & self.cost.parameter_shapes.keys()
        of_masks = sum(math.prod(self.cost.parameter_shapes[name]) for name in masked)
        return self.counts.units + of_masks

    def masked_copy(self, model: nn.Module) -> nn.Module:
        """A new model in which the units that do not stay are zero."""
        masked = deep_copy(model)
        apply_masks(masked, self.masks)
        return masked

    def pruned_copy(self, model: nn.Module, example: Tensor) -> nn.Module:
        """A new model in which the units that do not stay are zero, or are gone where they can be removed."""
        masked = self.masked_copy(model)
        return remove_units(masked, example, self.groups, self.keep) if self.removable else masked


@dataclass(frozen=True, eq=False)
class RankedUnits:
    """Units with their scores, sorted once: whatever the amount, a decision is then a search."""

    scores: Mapping[str, Tensor]
    ranking: Ranking
    cost: CostModel
    removable: bool

    @cached_property
    def _cost_left(self) -> CostLeft:
        return CostLeft(self.ranking, self.cost)

    def decide(self, amount: Amount, progress: float = 1.0) -> Decision:
        """The decision for the share `progress`, in [0, 1], of the amount."""
        settled = amount.settled(self._cost_left)
        return Decision(
            groups=self.ranking.groups,
            scores=self.scores,
            amount=settled,
            keep=select(self.ranking, settled, progress),
            counts=position(self.ranking, settled, progress),
            cost=self.cost,
            removable=self.removable,
        )


def rank_units(
    recipe: Recipe,
    groups: Sequence[UnitGroup],
    scores: Mapping[str, Tensor],
    cost: CostModel,
    pruned: Mapping[str, Tensor] | None = None,
    divisors: Mapping[str, float] | None = None,
) -> RankedUnits:
    """Sort the units as the recipe's scope and amount let them compete; `pruned` and `divisors` as in `rank`."""
    ranking = rank(groups, scores, recipe.scope, recipe.amount, pruned, divisors)
    return RankedUnits(scores, ranking, cost, recipe.granularity.removable)
