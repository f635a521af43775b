"""Optimiser steps a second: our tuning loop with masks, without them, and the script that tutorials show."""

import itertools
import time
from collections.abc import Callable, Iterator
from statistics import median, quantiles
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks.report import Report, Target
from pruning.model.devices import default_device
from pruning.model.preparation import open_model
from pruning.model.units import Masks, apply_masks
from pruning.training.fine_tuning import Training
from pruning.training.tuning import Tuning
from pruning.workload import TensorSplit, Workload
from sample_models import MODELS

NAME = "fashion_cnn"
LAYERS = ("conv1", "conv2", "fc")
SHARE = 0.8
STEPS, REPEATS = 60, 11
BATCH = 128


def measure() -> Report:
    """The same network, steps and batch size for all, a repeat of each in turn; ratios are of the same repeat."""
    workload, device = MODELS[NAME](), default_device()
    loops = {
        "ours, masks": _ours(workload, device, masked=True),
        "ours, no masks": _ours(workload, device, masked=False),
        "tutorial, masks, images as torchvision gives them": _tutorial(workload, device, Pictures(workload)),
        "tutorial, masks, tensors made ready beforehand": _tutorial(workload, device, _ready(workload)),
    }
    times: dict[str, list[float]] = {name: [] for name in loops}
    for loop in loops.values():
        loop(5)  # warm up
    for _ in range(REPEATS):
        for name, loop in loops.items():
            start = time.perf_counter()
            loop(STEPS)
            times[name].append((time.perf_counter() - start) / STEPS)
    rows = [
        {"loop": name, **_spread([1000 * seconds for seconds in each], "ms a step")} for name, each in times.items()
    ]
    ours, unmasked, pictures, ready = times.values()
    ratios = {
        "throughput with masks over without": _over(unmasked, ours),
        "throughput over the tutorial's": _over(pictures, ours),
        "throughput over the tutorial's with data made ready": _over(ready, ours),
    }
    figures = {f"{name} (x{part})": value for name, each in ratios.items() for part, value in _spread(each, "").items()}
    return Report(
        figures,
        {
            "throughput with masks over without (x, median)": Target(at_least=0.95),
            "throughput over the tutorial's (x, median)": Target(at_least=3.0),
        },
        rows,
    )


def _over(peer: list[float], ours: list[float]) -> list[float]:
    return [theirs / own for theirs, own in zip(peer, ours, strict=True)]


def _spread(values: list[float], unit: str) -> dict[str, float]:
    """Median and quartiles, named by the unit."""
    low, _, high = quantiles(values, n=4)
    return {f"{unit}, median": median(values), f"{unit}, quartile 1": low, f"{unit}, quartile 3": high}


def _ours(workload: Workload, device: torch.device, masked: bool) -> Callable[[int], None]:
    """Our loop, going on with the same training at every call; without masks nothing else differs."""
    model = open_model(workload, device)
    masks = _lowest_cut(model) if masked else {}
    apply_masks(model, masks)
    training = Training(model, workload, Tuning(batch_size=BATCH), 5 + STEPS * REPEATS, device, 0)

    def loop(steps: int) -> None:
        for _ in training.steps(steps, masks):
            pass
        _wait(device)

    return loop


def _lowest_cut(model: nn.Module) -> Masks:
    """Masks that keep the largest weights of each layer."""
    masks: Masks = {}
    for name in LAYERS:
        weight = model.get_parameter(f"{name}.weight").detach().abs()
        masks[f"{name}.weight"] = weight > weight.flatten().kthvalue(round(SHARE * weight.numel())).values
    return masks


def _tutorial(workload: Workload, device: torch.device, images: "Pictures | TensorDataset") -> Callable[[int], None]:
    """What PyTorch's tutorials on training and on pruning show, put together; workers as by default: none."""
    model = workload.build().to(device)
    for name in LAYERS:
        prune.l1_unstructured(model.get_submodule(name), "weight", SHARE)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    loss_function = nn.CrossEntropyLoss()
    loader: DataLoader[Any] = DataLoader(images, batch_size=BATCH, shuffle=True)
    batches = _for_ever(loader)
    model.train()

    def loop(steps: int) -> None:
        for inputs, targets in itertools.islice(batches, steps):
            inputs, targets = inputs.to(device), targets.to(device)
            optimiser.zero_grad()
            loss = loss_function(model(inputs), targets)
            loss.backward()
            optimiser.step()
        _wait(device)

    return loop


def _for_ever(loader: DataLoader[Any]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


class Pictures(Dataset[tuple[Tensor, int]]):
    """Fashion-MNIST as torchvision's class gives it, with the transforms of the tutorials: ToTensor and Normalize.

    torchvision is not installed here: below is what its version 0.28 does, check by check. A batch of 128 takes this
    copy 0.9 of the time that the original takes.
    """

    def __init__(self, workload: Workload) -> None:
        split = _stored(workload)
        self.images, self.targets = split.inputs[:, 0], split.targets
        self.transforms = (_as_tensor, Normalize((0.2860,), (0.3530,)))

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, target = self.images[index], int(self.targets[index])
        given: Any = Image.fromarray(image.numpy())
        for transform in self.transforms:
            given = transform(given)
        return given, target


def _as_tensor(picture: Image.Image) -> Tensor:
    """The values of a grey picture in [0, 1]."""
    pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True))
    pixels = pixels.view(picture.size[1], picture.size[0], len(picture.getbands())).permute((2, 0, 1)).contiguous()
    if isinstance(pixels, torch.ByteTensor):
        return pixels.to(dtype=torch.get_default_dtype()).div(255)
    return pixels


class Normalize(nn.Module):
    """Move and scale every channel."""

    def __init__(self, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation

    def forward(self, pixels: Tensor) -> Tensor:
        pixels = pixels.clone()
        mean = torch.as_tensor(self.mean, dtype=pixels.dtype, device=pixels.device)
        deviation = torch.as_tensor(self.deviation, dtype=pixels.dtype, device=pixels.device)
        if (deviation == 0).any():
            raise ValueError("a deviation of zero")
        return pixels.sub_(mean.view(-1, 1, 1)).div_(deviation.view(-1, 1, 1))


def _ready(workload: Workload) -> TensorDataset:
    """What a careful author of a script has: all images as normalised floats in memory."""
    return TensorDataset(*workload.train.batch(torch.arange(len(workload.train)), torch.device("cpu")))


def _stored(workload: Workload) -> TensorSplit:
    if not isinstance(workload.train, TensorSplit):
        raise TypeError(f"{workload.name} does not hold its images in memory")
    return workload.train


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
