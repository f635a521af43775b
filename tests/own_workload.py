"""Somebody's own model and data in one Python file: three noisy clouds and a small network, milliseconds to score."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from pruning.exporters.reading import read_own_network
from pruning.exporters.verification import FileScore, score_file
from pruning.exporters.workload_source import WorkloadSource, open_source

SOURCE = '''
import torch
from torch import nn
from torch.nn import functional as F

from pruning.workload import Classification, TensorSplit, Workload


class Small(nn.Module):
    """Images [b, 1, 6, 6] to logits [b, 3]."""

    def __init__(self, first=6, second=8):
        super().__init__()
        self.conv1 = nn.Conv2d(1, first, 3, padding=1)
        self.conv2 = nn.Conv2d(first, second, 3, padding=1)
        self.fc = nn.Linear(second * 9, 3)

    def forward(self, images):
        x = F.max_pool2d(F.relu(self.conv1(images)), 2)
        return self.fc(F.relu(self.conv2(x)).flatten(1))


def split(seed, count=300):
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(3, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    targets = torch.randint(3, (count,), generator=generator)
    return TensorSplit(0.5 * means[targets] + torch.randn(count, 1, 6, 6, generator=generator), targets)


def build():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Small().eval()


def make():
    train, validation, test = split(2), split(3), split(4)
    task = Classification(("left", "middle", "right"))
    return Workload("own", build, train.inputs[:1], train, validation, test, task, "three clouds")


ready = make()
number = 7
'''


def write_own(folder: Path, source: str = SOURCE, name: str = "make") -> str:
    """The file in the folder, and the reference to what `name` names in it."""
    file = folder / "own.py"
    file.write_text(source)
    return f"{file}:{name}"


def recipe_text(**changes: object) -> str:
    """JSON of a recipe for it that takes a second: two rounds of one epoch."""
    recipe: dict[str, object] = {
        "version": 1,
        "workload": "own",
        "amount": {"kind": "sparsity", "share": 0.5},
        "schedule": {"kind": "polynomial", "rounds": 2},
        "tuning": {"epochs": 1, "batch_size": 50},
    }
    return json.dumps(recipe | changes)


def rescore_here(
    paths: Sequence[Path], source: WorkloadSource, device: torch.device, timeout_s: float
) -> tuple[FileScore, ...]:
    """What the fresh process would say, without the seconds that it takes to start one.

    As there, a file that this program has just written is read at once: anybody's is given to a process of its own.
    """
    workload = open_source(source)
    return tuple(score_file(path, workload, device, read_own_network) for path in paths)
