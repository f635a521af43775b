"""`recipe`: a commented recipe to start from."""

import torch

from pruning.model.preparation import open_model
from pruning.recipe.template import commented, starting_recipe
from pruning.workload import Workload


def recipe(workload: Workload) -> None:
    model = open_model(workload, torch.device("cpu"))
    print(commented(starting_recipe(workload.name, model), model))
