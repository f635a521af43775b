"""How much of the true class's logit Captum puts down to each unit of a layer, sample by sample."""

import copy
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pruning.errors import PruningError, WorkloadError, describe
from pruning.model.units import Slice, UnitGroup

Attribute = Callable[[nn.Module, Tensor, Tensor], object]
"""A layer, inputs [n, *input] and targets [n] to the attribution of the layer's output, in its shape."""


def unit_sizes(
    model: nn.Module, group: UnitGroup, inputs: Tensor, targets: Tensor, method: str, attribute: Attribute
) -> Tensor:
    """Σ over the batch of |attribution| of each unit [units]."""
    total = torch.zeros(len(inputs), group.units, device=inputs.device)
    for piece in group.ranked:
        assert isinstance(piece, Slice)  # channels are slices
        name = piece.param.rpartition(".")[0]
        module = model.get_submodule(name)
        values = _attributed(name, module, inputs, targets, method, attribute).detach().float()
        features_last = values if isinstance(module, nn.Linear) else values.movedim(1, -1)
        features = features_last.reshape(len(inputs), -1, features_last.shape[-1]).sum(dim=1)
        total += features[:, piece.index.to(inputs.device)].sum(dim=2)
    return total.abs().sum(dim=0)


def _attributed(
    name: str, module: nn.Module, inputs: Tensor, targets: Tensor, method: str, attribute: Attribute
) -> Tensor:
    """What Captum gives for the layer's output, in its shape. WorkloadError names a layer that it cannot do."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it sets hooks, which it takes off again
            values = attribute(module, inputs, targets)
            assert isinstance(values, Tensor)  # one layer with one output gives one tensor
    except (PruningError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if method == "deep_lift" and "more than once" in str(error):
            raise WorkloadError(
                f"{name}: deep_lift needs a module of its own for every activation, and this network calls one "
                "module several times; mend the network, or choose another method or criterion taylor"
            ) from error
        raise WorkloadError(
            f"{name}: {method} does not get through this network ({describe(error)}); choose another method "
            "or criterion taylor"
        ) from error
    if method == "grad_cam" and isinstance(module, nn.Linear) and values.dim() > 2:
        raise WorkloadError(
            f"{name}: grad_cam takes the positions of this layer's output {list(values.shape)} for its units; "
            "choose method gradient_x_activation"
        )
    return values


def network_for_captum(model: nn.Module) -> nn.Module:
    """A copy, for where a method fails Captum leaves hooks and attributes behind. No activation of it works in place.

    Captum makes the layer's output a leaf of the graph, which torch lets nobody change.
    """
    copied = copy.deepcopy(model)
    for module in copied.modules():
        if isinstance(vars(module).get("inplace"), bool):
            vars(module)["inplace"] = False
    return copied
