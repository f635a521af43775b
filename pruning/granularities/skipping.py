"""Which blocks of layers a network can skip, found by trial: without its weights a block passes its input on."""

import torch
from torch import Tensor, nn

from pruning.granularities.probing import RecordedCall, calls_of, output_with
from pruning.model.parameter_sharing import shared_outside


def why_not_skipped(model: nn.Module, example: Tensor, weights: list[str]) -> dict[str, str]:
    """Name -> why it cannot be skipped, "" where it can, of every container of weights but the model itself."""
    names = [
        name
        for name, module in model.named_modules()
        if name and any(module.children()) and any(inside(param, name) for param in weights)
    ]
    calls = calls_of(model, example, names)
    reasons: dict[str, str] = {}
    for name in names:
        module = model.get_submodule(name)
        parameters = {f"{name}.{own}": parameter for own, parameter in module.named_parameters(remove_duplicate=False)}
        outside = shared_outside(model, module)
        frozen = [param for param, parameter in parameters.items() if not parameter.requires_grad]
        fed = [call for call in calls[name] if call.stream is None or call.stream.numel()]  # an expert may get nothing
        if not fed or not all(_passes_on(module, call) for call in fed):
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


def inside(name: str, container: str) -> bool:
    return name.startswith(f"{container}.")


def reason_of(containers: list[str], why_not: dict[str, str]) -> str:
    """Why a weight is in no block that can be skipped: the reason of the smallest container that it lies in."""
    smallest = max(containers, key=len, default="")
    return why_not.get(smallest, "") or "it lies in no block that can be skipped: choose channels or weights"
