"""Tiny networks and workloads that the tests share: milliseconds to build, run and prune, the same every time."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.events import Event
from pruning.recipe.recipe import Recipe
from pruning.run.engine import PruneResult, prune
from pruning.workload import Classification, TensorSplit, Workload

CPU = torch.device("cpu")
CLASSES = ("a", "b", "c")
IMAGE = (2, 8, 8)
VECTOR = (6,)


class Residual(nn.Module):
    """A stem, a block with an identity shortcut and one with a projection. Images [b, 2, 8, 8] to logits [b, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.stem_bn = nn.BatchNorm2d(4)
        self.conv1 = nn.Conv2d(4, 5, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(5)
        self.conv2 = nn.Conv2d(5, 4, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(4)
        self.conv3 = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(6)
        self.project = nn.Conv2d(4, 6, 1, stride=2, bias=False)
        self.project_bn = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        stream = F.relu(self.stem_bn(self.stem(images)))
        stream = F.relu(stream + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(stream))))))
        stream = F.relu(self.bn3(self.conv3(stream)) + self.project_bn(self.project(stream)))
        return self.fc(F.adaptive_avg_pool2d(stream, 1).flatten(1))


class Concatenated(nn.Module):
    """Two convolutions side by side, read by one. Images [b, 2, 8, 8] to logits [b, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(2, 3, 3, padding=1)
        self.right = nn.Conv2d(2, 4, 1)
        self.norm = nn.BatchNorm2d(7)
        self.both = nn.Conv2d(7, 5, 1)
        self.fc = nn.Linear(5, 3)

    def forward(self, images: Tensor) -> Tensor:
        side_by_side = torch.cat([self.left(images), self.right(images)], dim=1)
        return self.fc(F.relu(self.both(F.relu(self.norm(side_by_side)))).mean(dim=(2, 3)))


class Tied(nn.Module):
    """Two Linear layers that share one Parameter, and a head. Vectors [b, 6] to logits [b, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.head = nn.Linear(6, 3)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.head(F.relu(self.second(F.relu(self.first(vectors)))))


class InnerSum(nn.Module):
    """The output is a sum with an inner activation: no unit that feeds it may be removed. Vectors [b, 6] to [b, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 5)
        self.inner = nn.Linear(5, 3)
        self.last = nn.Linear(3, 3)

    def forward(self, vectors: Tensor) -> Tensor:
        inner = self.inner(F.relu(self.first(vectors)))
        return inner + self.last(F.relu(inner))


def mlp() -> nn.Module:
    """6-5-4-3."""
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))


def conv() -> nn.Module:
    """Two convolutions with pooling, flattened into a Linear."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(20, 3),
    )  # fmt: skip


def conv_bn() -> nn.Module:
    """As `conv`, with BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3),
    )  # fmt: skip


def depthwise() -> nn.Module:
    """A depthwise separable convolution between two plain ones, with BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (mlp, VECTOR),
    "conv": (conv, IMAGE),
    "conv_bn": (conv_bn, IMAGE),
    "residual": (Residual, IMAGE),
    "depthwise": (depthwise, IMAGE),
    "concatenated": (Concatenated, IMAGE),
}
"""Every network that can be pruned in both granularities, with the shape of its inputs."""


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """The network in eval mode, weights and norm statistics drawn by the seed; the global generator stays as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make()
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                if module.affine:
                    module.weight.data.uniform_(0.5, 1.5)
                    module.bias.data.uniform_(-0.5, 0.5)
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def samples(shape: tuple[int, ...], count: int, seed: int) -> TensorSplit:
    """Three clouds of normal samples around three fixed means: easy to learn, not without mistakes."""
    means = torch.randn(len(CLASSES), *shape, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(len(CLASSES), (count,), generator=generator)
    return TensorSplit(0.4 * means[targets] + torch.randn(count, *shape, generator=generator), targets)


def workload(build: Callable[[], nn.Module], shape: tuple[int, ...], name: str = "tiny", count: int = 300) -> Workload:
    """A workload of `count` samples a split around a maker of a network."""
    train, validation, test = (samples(shape, count, seed) for seed in (2, 3, 4))

    def halved() -> dict[str, Tensor]:
        return {
            name: tensor / 2 if tensor.is_floating_point() else tensor for name, tensor in build().state_dict().items()
        }

    return Workload(
        name,
        build,
        train.inputs[:1],
        train,
        validation,
        test,
        Classification(CLASSES),
        "three clouds",
        {"initial": halved},
    )


def tiny(name: str, seed: int = 0, count: int = 300) -> Workload:
    """The workload around a network of `NETWORKS`."""
    make, shape = NETWORKS[name]
    return workload(lambda: seeded(make, seed), shape, name, count)


def taught(name: str, count: int = 300) -> Workload:
    """As `tiny`, its last layer fitted to the training samples: what is pruned changes how it scores.

    The networks of `tiny` are as they were drawn, and most give one class for all samples, cut or not.
    """
    make, shape = NETWORKS[name]
    train = samples(shape, count, 2)

    def build() -> nn.Module:
        model = seeded(make)
        *_, last = (module for module in model.modules() if isinstance(module, nn.Linear))
        seen: list[Tensor] = []
        with torch.no_grad(), last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])):
            model(train.inputs)
            features = torch.cat([seen[0], torch.ones(count, 1)], dim=1).double()
            wanted = F.one_hot(train.targets, len(CLASSES)).double()
            fitted = torch.linalg.lstsq(features, wanted, driver="gelsd").solution.T.float()
            last.weight.copy_(fitted[:, :-1])
            last.bias.copy_(fitted[:, -1])
        return model

    return workload(build, shape, name, count)


def carried_out(
    workload: Workload, recipe: Recipe, stop: Callable[[], bool] = lambda: False
) -> tuple[list[Event], PruneResult]:
    """All events of a run on the CPU, and what it returned."""
    run = prune(workload, recipe, CPU, stop)
    events: list[Event] = []
    while True:
        try:
            events.append(next(run))
        except StopIteration as end:
            return events, end.value
