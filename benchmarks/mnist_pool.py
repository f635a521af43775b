"""Warped copies of MNIST's training images with a teacher's answers: what `benchmarks.literature` learns from.

The teacher is a small convolutional network that has seen the same training images and no others. Its answers travel
with the images as soft targets (Hinton et al. 2015, arXiv 1503.02531): a step of a LeNet costs what the LeNet costs.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.files.atomic_write import write_whole
from pruning.model.devices import drawn_by, mixed_precision
from pruning.workload import TensorSplit, shuffled

CPU = torch.device("cpu")
TAUGHT, LEARNT = 7, 2
"""Warped copies of each training image that the teacher learns from, and how many of these the LeNets do."""
TURN, SCALE, SHEAR, SHIFT = math.radians(10), 0.1, 0.1, 1.5
"""How far copies are warped at most: by an angle, by a share of the size, by a slope, by pixels."""
EPOCHS, BATCH, PEAK, SEED = 8, 128, 0.003, 0
"""Of the teacher: passes over as many images as there are for training, drawn from these and all copies."""


class Teacher(nn.Sequential):
    """Images [b, 1, 28, 28] to logits [b, 10]: four convolutions with BatchNorm, and a layer over all 7 x 7 places."""

    def __init__(self) -> None:
        super().__init__(*_block(1, 32, 5, 2), *_block(32, 64, 3, 1), *_block(64, 64, 3, 2), *_block(64, 128, 3, 1))
        self.extend([nn.Flatten(), nn.Dropout(0.3), nn.Linear(128 * 49, 10)])


def _block(inputs: int, outputs: int, size: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU()


def pool(train: TensorSplit, keep: Path) -> TensorSplit:
    """Training images and as many warped ones with the teacher's probabilities [n, 10] as targets.

    Args:
        train: The training images as stored, uint8 [n, 28, 28], their classes, and how they are made ready.
        keep: A folder for the teacher's answers, which take minutes.
    """
    warps = [warped(train.inputs, seed) for seed in range(1, LEARNT + 1)]
    file = keep / "teacher.safetensors"
    if not file.exists():
        write_whole(file, save({"logits": answers(taught(train), train, warps).half()}))
    own, *others = load_file(file)["logits"].float().softmax(dim=1).split(len(train))
    # as they are so often that they are half of all: 1.68 % validation error at 56x, mostly warped 1.92, none 1.96
    return TensorSplit(torch.cat([train.inputs] * LEARNT + warps), torch.cat([own] * LEARNT + others), train.prepare)


def warped(images: Tensor, seed: int, part: int = 5000) -> Tensor:
    """Images uint8 [n, 28, 28], each turned, scaled, sheared and shifted by lot; the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    turn, scale, shear, across, down = (2 * torch.rand(5, len(images), generator=generator) - 1).unbind()
    turn, scale, shear = TURN * turn, 1 + SCALE * scale, SHEAR * shear
    across, down = (2 * SHIFT / images.shape[-1] * each for each in (across, down))
    rows = (scale * turn.cos(), scale * (shear - turn.sin()), across, scale * turn.sin(), scale * turn.cos(), down)
    grids = torch.stack(rows, dim=1).view(-1, 2, 3)
    parts: list[Tensor] = []
    for some, grid in zip(images.split(part), grids.split(part), strict=True):
        places = F.affine_grid(grid, [len(some), 1, *some.shape[1:]], align_corners=False)
        parts.append(F.grid_sample(some[:, None].float(), places, align_corners=False)[:, 0].round().byte())
    return torch.cat(parts)


def taught(train: TensorSplit) -> nn.Module:
    """The teacher, trained on the images and their warped copies by AdamW with one cycle of the learning rate."""
    images = torch.cat([train.inputs, *(warped(train.inputs, seed) for seed in range(1, TAUGHT + 1))])
    copies = TensorSplit(images, train.targets.repeat(TAUGHT + 1), train.prepare)
    with drawn_by(SEED, CPU):
        model = Teacher().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=0.01)
    steps = EPOCHS * len(train) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK, total_steps=steps)
    batches = shuffled(copies, BATCH, CPU, torch.Generator().manual_seed(SEED))
    for step, (images, labels) in zip(range(steps), batches, strict=False):
        with mixed_precision(CPU):
            loss = F.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 200 == 0:
            print(f"teacher: step {step} of {steps}, loss {float(loss.detach()):.4f}", file=sys.stderr)
    return model.eval()


@torch.no_grad()
def answers(teacher: nn.Module, train: TensorSplit, warps: Sequence[Tensor]) -> Tensor:
    """Logits [n, 10] of the images and then of their warped copies."""
    every = (part for images in (train.inputs, *warps) for part in images.split(500))
    with mixed_precision(CPU):
        return torch.cat([teacher(train.prepare(part)).float() for part in every])
