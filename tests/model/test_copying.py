import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn

from pruning.model.copying import deep_copy
from tests.architectures import ARCHITECTURES, made


def walked(value: object, path: str, found: dict[int, list[str]], said: list[str]) -> None:
    """Every object below a module once: what it is and where it was met, so that sharing shows."""
    if id(value) in found:
        found[id(value)].append(path)
        return
    if isinstance(value, nn.Module | dict | list | set | torch.Tensor):
        found[id(value)] = [path]
    said.append(f"{path}: {type(value).__name__}")
    if isinstance(value, torch.Tensor):
        said.append(f"{path} = {value.tolist()}, {value.requires_grad}")
    elif isinstance(value, nn.Module | dict):
        inner = vars(value) if isinstance(value, nn.Module) else value
        for name, each in inner.items():
            walked(each, f"{path}.{name}", found, said)
    elif not isinstance(value, set | list):
        said.append(f"{path} = {value!r}" if isinstance(value, int | float | str | bool) else path)


def seen(model: nn.Module) -> tuple[list[str], list[list[str]], set[int]]:
    found: dict[int, list[str]] = {}
    said: list[str] = []
    walked(model, "model", found, said)
    return said, list(found.values()), set(found)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_copy_is_what_deepcopy_gives_and_shares_nothing_with_its_model(name):
    model = made(name)
    plain, quick = copy.deepcopy(model), deep_copy(model)
    assert seen(quick)[:2] == seen(plain)[:2]
    assert not seen(quick)[2] & seen(model)[2]


def test_what_two_modules_share_their_copies_share_and_hooks_stay_apart():
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    first.notes = second.notes = OrderedDict()
    second.weight = first.weight
    model = nn.Sequential(first, second)
    made = deep_copy(model)
    assert made[0].notes is made[1].notes is not first.notes and made[0].weight is made[1].weight is not first.weight
    made[0].register_forward_hook(lambda *_: None)
    made[0].notes["seen"] = 1
    assert not first._forward_hooks and not first.notes and not made[1]._forward_hooks
