"""LeNet-300-100 and LeNet-5 on MNIST: the networks that the pruning literature reports on, as workloads.

MNIST does not come with this project. Name your own copy, the `mnist.npz` of Keras, in PRUNING_MNIST:

    export PRUNING_MNIST=/path/to/mnist.npz
    python -m pruning recipe examples/mnist_lenet.py:lenet_300_100 > recipe.json
    python -m pruning run recipe.json --workload examples/mnist_lenet.py:lenet_300_100 --out out

The first use trains the network, for some minutes, and keeps its weights beside the data. On one core, trained here,
LeNet-300-100 has a test error of 1.61 %, LeNet-5 of 0.80 %.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.errors import WorkloadError
from pruning.files.atomic_write import write_whole
from pruning.model.devices import drawn_by
from pruning.workload import Classification, TensorSplit, Workload, shuffled

CPU = torch.device("cpu")
EPOCHS, BATCH, PEAK, SEED = 12, 128, 0.002, 0
MEAN, DEVIATION = 0.1307, 0.3081  # of the training images
VALIDATION = 12  # one image of so many is kept for validation


class LeNet300100(nn.Sequential):
    """784 - 300 - 100 - 10 with ReLU between (LeCun et al. 1998): 266 610 parameters."""

    def __init__(self) -> None:
        layers = (nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
        super().__init__(nn.Flatten(), *layers)


class LeNet5(nn.Module):
    """LeNet-5 as Caffe has it, which is what pruning papers mean: 20 and 50 filters, 500 units, 431 080 parameters.

    Images [b, 1, 28, 28] to logits [b, 10]. There is no ReLU behind the convolutions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.fc1, self.fc2 = nn.Linear(800, 500), nn.Linear(500, 10)

    def forward(self, images: Tensor) -> Tensor:
        features = F.max_pool2d(self.conv2(F.max_pool2d(self.conv1(images), 2)), 2)
        return self.fc2(F.relu(self.fc1(features.flatten(1))))


def lenet_300_100() -> Workload:
    """LeNet-300-100 on MNIST; the name is the one that published results are found by."""
    return workload("mnist_lenet_300_100", LeNet300100)


def lenet_5() -> Workload:
    """LeNet-5 on MNIST."""
    return workload("mnist_lenet_5", LeNet5)


def workload(name: str, network: Callable[[], nn.Module]) -> Workload:
    """The network, trained if it has not been, with the three splits. WorkloadError says where MNIST is missing."""
    file = data_file()
    train, validation, test = splits(file)
    weights = file.with_name(f"{name}.safetensors")
    if not weights.exists():
        write_whole(weights, save(trained(network, train).state_dict()))
    return Workload(
        name=name,
        build=functools.partial(loaded, network, weights),
        example=validation.batch(torch.arange(1), CPU)[0],
        train=train,
        validation=validation,
        test=test,
        task=Classification(tuple(str(digit) for digit in range(10))),
        data=f"MNIST: 28 x 28 grey digits; {len(train)} to train, {len(validation)} to validate, {len(test)} to test",
        checkpoints={"initial": lambda: initial(network).state_dict()},
    )


def data_file() -> Path:
    """The file that PRUNING_MNIST names."""
    file = Path(os.environ.get("PRUNING_MNIST", "mnist.npz")).expanduser().resolve()
    if not file.is_file():
        raise WorkloadError(f"{file}: no such file; set PRUNING_MNIST to your copy of mnist.npz")
    return file


@functools.cache
def splits(file: Path) -> tuple[TensorSplit, TensorSplit, TensorSplit]:
    """Train, validation and test: the validation images are a twelfth of those that MNIST has for training, by lot."""
    with np.load(file) as data:
        images, labels, test_images, test_labels = (
            torch.from_numpy(data[key]) for key in ("x_train", "y_train", "x_test", "y_test")
        )
    # by lot, because there are copies that are sorted by digit
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))
    kept, rest = order.split([len(images) // VALIDATION, len(images) - len(images) // VALIDATION])
    parts = ((images[rest], labels[rest]), (images[kept], labels[kept]), (test_images, test_labels))
    train, validation, test = (TensorSplit(x, y.long(), prepared) for x, y in parts)
    return train, validation, test


def prepared(stored: Tensor) -> Tensor:
    """Stored images [b, 28, 28], uint8, as the network takes them: [b, 1, 28, 28], mean 0 and deviation 1."""
    return (stored[:, None].float() / 255 - MEAN) / DEVIATION


def initial(network: Callable[[], nn.Module]) -> nn.Module:
    """The network before training, the same each time."""
    with drawn_by(SEED, CPU):
        return network()


def trained(network: Callable[[], nn.Module], split: TensorSplit) -> nn.Module:
    """Trained by AdamW with one cycle of the learning rate (Smith and Topin 2018)."""
    model, generator = initial(network), torch.Generator().manual_seed(SEED)
    optimiser = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=0.01)
    steps = EPOCHS * (len(split) // BATCH + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK, total_steps=steps)
    for _ in range(EPOCHS):
        for images, labels in shuffled(split, BATCH, CPU, generator):
            loss = F.cross_entropy(model(images), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return model.eval()


def loaded(network: Callable[[], nn.Module], weights: Path) -> nn.Module:
    """A fresh copy with the weights that were kept."""
    model = network()
    model.load_state_dict(load_file(weights))
    return model.eval()
