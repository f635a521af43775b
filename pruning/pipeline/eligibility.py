"""Which unit groups a recipe allows to be pruned in a network, and of every other row why its units stay."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pruning.criteria import Criterion, LeavesOut, scores_weight
from pruning.errors import RecipeError
from pruning.granularities import Granularity
from pruning.model.descriptions import LayerRow
from pruning.model.layer_table import layer_table, owning_layer
from pruning.model.layer_types import has_channels
from pruning.model.units import UnitGroup, group_of
from pruning.recipe.catalog import kind_of
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import PerLayer
from pruning.workload import Workload


def chosen_groups(workload: Workload, recipe: Recipe, model: nn.Module) -> list[UnitGroup]:
    """The unit groups that a recipe allows to be pruned, on the model's device. RecipeError names a layer that is not
    there.
    """
    example = workload.example.to(next((parameter.device for parameter in model.parameters()), torch.device("cpu")))
    groups, reasons = scorable_groups(recipe.criterion, recipe.granularity, model, example)
    return allowed_groups(recipe, groups, layer_table(model, example), reasons)


def scorable_groups(
    criterion: Criterion, granularity: Granularity, model: nn.Module, example: Tensor
) -> tuple[list[UnitGroup], dict[str, str]]:
    """The granularity's groups that the criterion can score; and for each other prunable row a sentence why not."""
    groups, reasons = granularity.sorted_out(model, example)
    without = unscored(criterion, model, groups)
    reasons = reasons | {row: without[g.name] for g in groups if g.name in without for row in g.members}
    return [group for group in groups if group.name not in without], reasons


def unscored(criterion: Criterion, model: nn.Module, groups: Sequence[UnitGroup]) -> dict[str, str]:
    """Group name -> why the criterion cannot score it: a layer of a type that it does not know, or its own reason."""
    reasons: dict[str, str] = {}
    kind = kind_of(criterion)
    for group in groups:
        for param in group.params:
            layer, word = owning_layer(model, param), param.rpartition(".")[2]
            if not scores_weight(criterion, layer, word):
                known = ", ".join(criterion.layers)
                reasons[group.name] = (
                    f"{kind} does not score {_what(layer, word)} (it scores {known}): choose another criterion"
                )
        # only layers of known types are asked about: a criterion need not expect any other
        of_known_type = group.name not in reasons
        if of_known_type and isinstance(criterion, LeavesOut) and (reason := criterion.why_not(model, group)):
            reasons[group.name] = reason
    return reasons


def _what(layer: nn.Module, word: str) -> str:
    """A weight matrix by the type of its layer; what a subclass of Linear holds beside its weight by its own word."""
    name = type(layer).__name__
    return f"{word} of {name}" if has_channels(layer) and word != "weight" else name


def allowed_groups(
    recipe: Recipe, groups: Sequence[UnitGroup], table: Sequence[LayerRow], reasons: Mapping[str, str]
) -> list[UnitGroup]:
    """Those of the granularity's groups that the recipe allows to be pruned. RecipeError as for `chosen_groups`.

    `reasons` say of each other row why its units stay.
    """
    layers = {layer.name for layer in table}
    if unknown := sorted(recipe.keep_whole - layers):
        raise RecipeError(
            f"keep_whole names {unknown[0]}, which is not a layer; the layers are {', '.join(sorted(layers))}"
        )
    names = [group.name for group in groups]
    named = set(recipe.amount.shares) if isinstance(recipe.amount, PerLayer) else set[str]()
    if wrong := sorted(named - set(names)):
        raise RecipeError(
            f"amount.shares names {wrong[0]}, which has no {kind_of(recipe.granularity)} of its own to prune; "
            f"use {', '.join(names)}"
        )
    whole = {group.name for layer in recipe.keep_whole if (group := group_of(groups, layer)) is not None}
    if both := sorted(whole & named):
        raise RecipeError(f"{both[0]} is kept whole and has a share in amount.shares; take it out of one of them")
    left = [group for group in groups if group.name not in whole]
    removed = {group.name for group in left if recipe.granularity.removable and not group.fixed}
    if empty := sorted(recipe.amount.empties() & removed):
        raise RecipeError(
            f"amount.shares.{empty[0]} is 1.0, but one of its {recipe.granularity.unit} at least has to stay; use less"
        )
    if not groups:
        why = "; ".join(f"{row}: {reason}" for row, reason in list(reasons.items())[:2])
        raise RecipeError(
            f"no {recipe.granularity.unit} in this network can be pruned ({why or 'none may be trained'}): "
            "choose granularity weights, or see the layer table for what there is"
        )
    if not left:
        raise RecipeError("nothing is left to prune: every layer is kept whole; let one of them be pruned")
    return left
