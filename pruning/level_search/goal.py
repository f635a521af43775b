"""What a search is for. An amount of a recipe says it too, so it is kept where amounts are."""

from pruning.selection.goal import COSTS, CostKind, Goal

__all__ = ["COSTS", "CostKind", "Goal"]
