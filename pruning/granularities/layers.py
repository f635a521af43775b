from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pruning.granularities.probing import RecordedCall, calls_of, output_with
from pruning.model.layer_table import prunable_weights
from pruning.model.parameter_sharing import shared_outside
from pruning.model.units import UnitGroup, Whole


@dataclass(frozen=True)
class Layers:
    """Whole blocks that the network can skip: without its weights such a block passes its input on, as a residual does.

    (Huang et al. 2016, arXiv 1603.09382; Fan et al. 2020, arXiv 1909.11556.) One group for the model, layout (blocks,).
    Which blocks these are is tried out: all parameters zero, on the example and on random values in the same range, the
    output must equal the input. Of blocks inside one another the smallest are taken. Zeros remain in the tensors.
    """

    unit: ClassVar[str] = "blocks of layers"
    removable: ClassVar[bool] = False
    rows: ClassVar[bool] = False

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        weights = {param: name for name, param, _ in prunable_weights(model)}
        why_not = _tried(model, example, list(weights))
        skipped = [name for name, reason in why_not.items() if not reason]
        blocks = [name for name in skipped if not any(_inside(other, name) for other in skipped)]
        home = {param: [name for name in why_not if _inside(param, name)] for param in weights}
        if len(blocks) < 2:
            why_not |= {name: f"only {name} can be skipped, and it has no other to compete with" for name in skipped}
            return [], {name: _reason(home[param], why_not) for param, name in weights.items()}
        owner = {param: blocks.index(block) for param in weights for block in home[param] if block in blocks}
        members = tuple(weights[param] for param in owner)
        group = UnitGroup(
            members[0],
            members,
            (len(blocks),),
            tuple(Whole(param, unit) for param, unit in owner.items()),
            tuple(
                Whole(f"{block}.{name}", unit)
                for unit, block in enumerate(blocks)
                for name, _ in model.get_submodule(block).named_parameters()
                if f"{block}.{name}" not in owner
            ),
        )
        return [group], {name: _reason(home[param], why_not) for param, name in weights.items() if param not in owner}


def _tried(model: nn.Module, example: Tensor, weights: list[str]) -> dict[str, str]:
    """Name -> why it cannot be skipped, "" where it can, of every container of weights but the model itself."""
    names = [
        name
        for name, module in model.named_modules()
        if name and any(module.children()) and any(_inside(param, name) for param in weights)
    ]
    calls = calls_of(model, example, names)
    reasons: dict[str, str] = {}
    for name in names:
        module = model.get_submodule(name)
        parameters = {f"{name}.{own}": parameter for own, parameter in module.named_parameters(remove_duplicate=False)}
        outside = shared_outside(model, module)
        frozen = [param for param, parameter in parameters.items() if not parameter.requires_grad]
        if not calls[name] or not all(_passes_on(module, call) for call in calls[name]):
            reasons[name] = f"{name} cannot be skipped: without its weights it does not pass its input on"
        elif outside:
            param, other = next(iter(outside.items()))
            reasons[name] = f"{name} cannot be skipped: it shares {param} with {other}"
        elif frozen:
            reasons[name] = f"{name} cannot be skipped: {frozen[0]} is frozen; set requires_grad to True there"
        else:
            reasons[name] = ""
    return reasons


def _passes_on(module: nn.Module, call: RecordedCall) -> bool:
    """Whether the module without its parameters gives what it is given: this input, and random values in its range."""
    seen = call.stream
    if seen is None:
        return False
    nothing = {name: torch.zeros_like(parameter) for name, parameter in module.named_parameters()}
    for stream in (seen, _random_like(seen)):
        output = output_with(module, nothing, call.instead(stream.clone()))  # it may change its input in place
        if output is None or output.shape != stream.shape or not torch.equal(output, stream):
            return False
    return True


def _random_like(seen: Tensor) -> Tensor:
    """Values between the smallest and the largest seen: what follows a ReLU stays as it is after another."""
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(seen.shape, generator=generator, dtype=torch.float64).to(seen.device)
    low, high = seen.double().min(), seen.double().max()
    return (low + share * (high - low)).to(seen.dtype)


def _inside(name: str, container: str) -> bool:
    return name.startswith(f"{container}.")


def _reason(containers: list[str], why_not: dict[str, str]) -> str:
    """Why a weight is in no block that can be skipped: the reason of the smallest container that it lies in."""
    smallest = max(containers, key=len, default="")
    return why_not.get(smallest, "") or "it lies in no block that can be skipped: choose channels or weights"
