"""Narrow convolutions of one place with a stride: channels last, oneDNN gets the gradient of their weights wrong."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from pruning.criteria.calibration import Calibration
from pruning.criteria.gradients import mean_gradients
from pruning.model.devices import place
from pruning.model.narrow_convolutions import right_gradients
from pruning.repair.imitation import imitate
from pruning.training.fine_tuning import tune
from pruning.training.tuning import Tuning
from tests.networks import CPU, seeded, workload

SHAPE = (3, 16, 16)
IMAGES = torch.randn(16, *SHAPE, generator=torch.Generator().manual_seed(0))


def network(channels: int, stride: int = 2) -> nn.Module:
    """A convolution over places, and behind it one of one place."""
    layers = lambda: nn.Sequential(nn.Conv2d(3, channels, 3), nn.Conv2d(channels, 8, 1, stride), nn.Flatten())  # noqa: E731
    return place(seeded(layers), torch.zeros(1, *SHAPE), CPU)


@contextmanager
def layouts(layer: nn.Module) -> Iterator[list[bool]]:
    """Whether the images that the layer read while gradients were wanted lay channels last."""
    seen: list[bool] = []

    def look(_layer: nn.Module, args: tuple[torch.Tensor, ...], _output: object) -> None:
        if torch.is_grad_enabled():
            seen.append(not args[0].is_contiguous())

    handle = layer.register_forward_hook(look)
    yield seen
    handle.remove()


@pytest.mark.parametrize("channels, stride, last", [(4, 2, False), (15, 2, False), (16, 2, True), (4, 1, True)])
def test_only_narrow_ones_with_a_stride_read_another_layout_and_only_for_gradients(channels, stride, last):
    model = network(channels, stride)
    with layouts(model[1]) as seen:
        model(IMAGES)
        with right_gradients(model):
            model(IMAGES)
            with torch.no_grad():
                model(IMAGES)
        model(IMAGES)
    assert seen == [True, last, True]
    assert (model[1].weight.stride() == (channels, 1, 1, 1)) != last
    assert not model[0].weight.is_contiguous()  # all others stay channels last


def test_their_gradients_are_right():
    """The process dies here where they are wrong, or the gradients are: on a CPU with AVX2 or AVX-512."""
    model = place(nn.Sequential(nn.Conv2d(4, 8, 1, 2)), torch.zeros(1, 4, 14, 14), CPU)
    exact = copy.deepcopy(model).double()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # with one the process died sooner
    try:
        for seed in range(20):
            images = torch.randn(16, 4, 14, 14, generator=torch.Generator().manual_seed(seed))
            with right_gradients(model):
                output = model(images.to(memory_format=torch.channels_last))
                (found,) = torch.autograd.grad(output.square().sum(), [model[0].weight])
            (wanted,) = torch.autograd.grad(exact(images.double()).square().sum(), [exact[0].weight])
            assert torch.allclose(found.double(), wanted, rtol=1e-4, atol=1e-2)
    finally:
        torch.set_num_threads(threads)


def test_images_may_be_given_by_name():
    narrow, images = nn.Conv2d(4, 8, 1, 2), torch.randn(2, 4, 6, 6).to(memory_format=torch.channels_last)
    read = list[torch.Tensor]()
    with right_gradients(narrow):  # the hook below is called after that of the block
        narrow.register_forward_pre_hook(lambda _layer, _args, named: read.append(named["input"]), with_kwargs=True)
        narrow(input=images)
    assert read[0].is_contiguous() and torch.equal(read[0], images)


def by_criterion(model: nn.Module) -> None:
    mean_gradients(model, ["1.weight"], Calibration(workload(lambda: model, SHAPE), CPU, 0, samples=8))


def by_tuning(model: nn.Module) -> None:
    for _ in tune(model, workload(lambda: model, SHAPE), Tuning(epochs=1), {}, CPU, seed=0):
        pass


def by_repair(model: nn.Module) -> None:
    wanted = torch.zeros(len(IMAGES), 8 * 7 * 7)
    imitate(model, IMAGES, wanted, list(model.named_parameters()), {}, 2, 0.01, 0)


@pytest.mark.parametrize("learn", [by_criterion, by_tuning, by_repair])
def test_whatever_asks_for_gradients_asks_for_right_ones(learn):
    model = network(4)
    with layouts(model[1]) as seen:
        learn(model)
    assert seen and not any(seen)
