"""What of a recipe decides which units are pruned."""

from pruning.recipe.recipe import Recipe
from pruning.repair import NoRepair


def cut_of(recipe: Recipe, repaired: bool = False) -> Recipe:
    """The recipe without what does not change which units are pruned in one shot, nor how they are repaired if asked.

    Equal cuts share what is known of them, whoever asks.
    """
    criterion, granularity, scope, amount = recipe.criterion, recipe.granularity, recipe.scope, recipe.amount
    kept, repair = recipe.keep_whole, recipe.repair if repaired else NoRepair()
    return Recipe(
        recipe.workload, criterion, granularity, scope, amount, keep_whole=kept, seed=recipe.seed, repair=repair
    )
