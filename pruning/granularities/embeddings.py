"""What the granularities of embeddings share."""

import torch
from torch import nn

from pruning.model.layer_table import prunable_weights
from pruning.model.units import Slice, UnitGroup


def embedding_groups(model: nn.Module, dim: int) -> tuple[list[UnitGroup], dict[str, str]]:
    """A group for each weight that an nn.Embedding holds, its units along `dim`; for all other rows why not.

    A weight that an output layer shares is one tensor and so one group, under the name that comes first in the model.
    """
    embedded = {module.weight.data_ptr() for module in model.modules() if isinstance(module, nn.Embedding)}
    groups: list[UnitGroup] = []
    reasons: dict[str, str] = {}
    for name, param, module in prunable_weights(model):
        weight = model.get_parameter(param)
        if weight.data_ptr() in embedded:
            units = weight.shape[dim]
            groups.append(UnitGroup(name, (name,), (units,), (Slice(param, dim, torch.arange(units)[:, None]),)))
        else:
            reasons[name] = f"{type(module).__name__} is no embedding: choose another granularity"
    return groups, reasons
