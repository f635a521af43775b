"""That a model comes back as it was: values, modes, gradients, hooks, attributes, and the global random generator."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def untouched(model: nn.Module) -> Generator[None]:
    """Fail with an AssertionError that names what the block changed, also where the block itself raises."""
    values = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    learns = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    modes = {name: module.training for name, module in model.named_modules()}
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    hooks = {name: _hooks(module) for name, module in model.named_modules()}
    draws = torch.get_rng_state()
    try:
        yield
    finally:
        after = model.state_dict()
        assert after.keys() == values.keys(), f"tensors came or went: {sorted(after.keys() ^ values.keys())}"
        for name, before in values.items():
            assert torch.equal(before, after[name]), f"{name} has other values than before"
        for name, parameter in model.named_parameters():
            assert parameter.grad is None, f"{name} was left with a gradient"
            assert parameter.requires_grad == learns[name], f"{name}.requires_grad was {learns[name]} and no more"
        for name, module in model.named_modules():
            where = name or "the network"
            assert module.training == modes[name], f"{where} was left in another mode (training or evaluation)"
            assert set(vars(module)) == attributes[name], f"{where} has other attributes than before"
            assert _hooks(module) == hooks[name], f"a hook was left on {where}"
        assert torch.equal(draws, torch.get_rng_state()), (
            "the global random generator was used: draw from one of your own"
        )


def _hooks(module: nn.Module) -> tuple[int, ...]:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return tuple(len(getattr(module, kind)) for kind in kinds)
