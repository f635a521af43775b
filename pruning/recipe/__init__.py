"""Turns choices into one value that becomes JSON and back, and says which go together. Knows no model and no data."""

from pruning.recipe.catalog import CHOICES, kind_of
from pruning.recipe.recipe import Recipe, from_dict, from_json, to_dict, to_json

__all__ = ["CHOICES", "Recipe", "from_dict", "from_json", "kind_of", "to_dict", "to_json"]
