"""Which blocks of layers a network can skip, found by trial: without its weights a block passes its input on.

And which of these can be taken out: what comes behind must ask nothing of a block but its output.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pruning.granularities.fixed import only_zeroed
from pruning.granularities.probing import RecordedCall, calls_of, output_with
from pruning.model.narrow_layers import SKIPPED
from pruning.model.parameter_sharing import shared_outside
from pruning.model.trial import why_not_removed
from pruning.model.units import SkippableBlock, UnitGroup, Whole


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


def groups_of_blocks(
    model: nn.Module, example: Tensor, weights: Mapping[str, str], names: Sequence[str]
) -> tuple[list[UnitGroup], dict[str, str]]:
    """The blocks that can be taken out as one group, and those that can only be set to zero as another.

    A block that would be alone in its group stays: for each of its rows, by name, a sentence. `weights` are parameters
    with the names of their rows, in the model's order.
    """
    calls = calls_of(model, example, names)
    blocks = [SkippableBlock(name, _becomes([call.outputs for call in calls[name]])) for name in names]
    zeroed = _why_only_zeroed(model, example, _group(model, weights, blocks))
    gone = [block for block in blocks if block.path not in zeroed]
    gone = gone if len(gone) > 1 else []
    left = [block for block in blocks if block not in gone]
    groups = [_group(model, weights, gone)] if gone else []
    reasons: dict[str, str] = {}
    if len(left) > 1:
        path, why = next(iter(zeroed.items()))
        groups.append(only_zeroed(_group(model, weights, left), f"{path} cannot be taken out ({why})"))
    elif left:
        why = f"it can only be set to zero ({zeroed[left[0].path]}), and it has no other to compete with"
        reasons = {row: why for param, row in weights.items() if inside(param, left[0].path)}
    rows = list(weights.values())
    return sorted(groups, key=lambda group: rows.index(group.name)), reasons


def _becomes(outputs: Sequence[int | None]) -> str:
    """The class of a block that gave so many outputs at each of its calls; "" where there is none for that."""
    first = outputs[0]
    if first is None or first >= len(SKIPPED) or len(set(outputs)) > 1:
        return ""
    return SKIPPED[first].__name__


def _group(model: nn.Module, weights: Mapping[str, str], blocks: Sequence[SkippableBlock]) -> UnitGroup:
    """The blocks as units, with all their parameters; the weights rank them."""
    owner = {param: unit for param in weights for unit, block in enumerate(blocks) if inside(param, block.path)}
    members = tuple(weights[param] for param in owner)
    others = tuple(
        Whole(f"{block.path}.{name}", unit)
        for unit, block in enumerate(blocks)
        for name, _ in model.get_submodule(block.path).named_parameters()
        if f"{block.path}.{name}" not in owner
    )
    ranked = tuple(Whole(param, unit) for param, unit in owner.items())
    return UnitGroup(members[0], members, (len(blocks),), ranked, others, blocks=tuple(blocks))


def _why_only_zeroed(model: nn.Module, example: Tensor, group: UnitGroup) -> dict[str, str]:
    """Path -> why it cannot be taken out, of every such block of the group.

    Tried are the first block alone and all others together; these one by one only if that fails.
    """

    def failure(blocks: Sequence[SkippableBlock]) -> str:
        keep = {group.name: torch.tensor([block not in blocks for block in group.blocks])}
        why_not = why_not_removed(model, example, [group], [keep]) if blocks else ""
        return why_not.removesuffix(": they always stay")

    found = {block.path: "it gives more than a tensor" for block in group.blocks if not block.becomes}
    first, *others = group.blocks
    if first.becomes and (why_not := failure([first])):
        found[first.path] = why_not
    others = [block for block in others if block.becomes]
    if failure(others):
        found |= {block.path: why_not for block in others if (why_not := failure([block]))}
        others = [block for block in others if block.path not in found]
        if why_not := failure(others):
            found |= {block.path: f"together with other blocks, {why_not}" for block in others}
    return found


def inside(name: str, container: str) -> bool:
    return name.startswith(f"{container}.")


def reason_of(containers: list[str], why_not: dict[str, str]) -> str:
    """Why a weight is in no block that can be skipped: the reason of the smallest container that it lies in."""
    smallest = max(containers, key=len, default="")
    return why_not.get(smallest, "") or "it lies in no block that can be skipped: choose channels or weights"
