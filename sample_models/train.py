"""Train a sample model and write its weights and model card: `python -m sample_models.train NAME [--seed 0]`.

Only the 50 000 training images are trained on, for a number of epochs fixed beforehand. The validation images are
scored after each epoch for the eye alone, the test images once, for the card.
"""

import argparse
import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.files.atomic_write import write_whole
from pruning.model.layer_table import model_macs
from pruning.workload import Split, shuffled
from sample_models import (
    fashion_cnn,
    fashion_lstm,
    fashion_mnist,
    fashion_resnet,
    fashion_vit,
    lenet_300_100,
    mlp_128,
    shipped,
)
from sample_models.cards import FOLDER, ModelCard

CPU = torch.device("cpu")  # also on a machine with an accelerator: the weights shall be the same again
THREADS = 1  # sums are split among threads, so the last digits depend on their number

Optimiser = functools.partial[torch.optim.Optimizer]


@dataclasses.dataclass(frozen=True)
class Training:
    """How a network is trained: one cycle of the learning rate up to `peak`, label smoothing, averaged weights.

    `decay` is the share of the average that stays at each step. `augment` varies the training images.
    """

    network: Callable[[], nn.Module]
    optimiser: Optimiser
    epochs: int
    batch: int
    peak: float
    smoothing: float
    decay: float = 0.999
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None

    def __str__(self) -> str:
        chosen = self.optimiser(iter([nn.Parameter(torch.zeros(1))]))
        varied = self.augment.__name__ if self.augment else "no augmentation"
        return (
            f"{type(chosen).__name__}, weight decay {chosen.defaults['weight_decay']}, one cycle up to {self.peak}, "
            f"batch {self.batch}, label smoothing {self.smoothing}, weights averaged with decay {self.decay}, {varied}"
        )


# the smaller a network, the less variation it can learn as well: in trials the convolutional one scored lower on the
# validation images with shifts of two pixels than of one, the fully connected ones lower with any, and the recurrent
# one with shifts of one pixel than with none
TRAININGS = {
    fashion_cnn.NAME: Training(
        fashion_cnn.FashionCNN,
        functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True, weight_decay=5e-4),
        epochs=40,
        batch=128,
        peak=0.1,
        smoothing=0.0,
        augment=fashion_mnist.flipped_and_nudged,
    ),
    lenet_300_100.NAME: Training(
        lenet_300_100.LeNet300100,
        functools.partial(torch.optim.AdamW, weight_decay=0.05),
        epochs=30,
        batch=128,
        peak=2e-3,
        smoothing=0.05,
        augment=fashion_mnist.flipped,
    ),
    mlp_128.NAME: Training(
        mlp_128.MLP,
        functools.partial(torch.optim.AdamW, weight_decay=0.05),
        epochs=30,
        batch=128,
        peak=2e-3,
        smoothing=0.05,
        augment=fashion_mnist.flipped,
    ),
    fashion_resnet.NAME: Training(
        fashion_resnet.FashionResNet,
        functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True, weight_decay=5e-4),
        epochs=24,
        batch=128,
        peak=0.1,
        smoothing=0.05,
        augment=fashion_mnist.flipped_and_shifted,
    ),
    fashion_lstm.NAME: Training(
        fashion_lstm.FashionLSTM,
        functools.partial(torch.optim.AdamW, weight_decay=0.05),
        epochs=30,
        batch=128,
        peak=1e-2,
        smoothing=0.05,
        augment=fashion_mnist.flipped,
    ),
    fashion_vit.NAME: Training(
        fashion_vit.FashionViT,
        functools.partial(torch.optim.AdamW, weight_decay=0.05),
        epochs=20,
        batch=128,
        peak=5e-3,
        smoothing=0.05,
        augment=fashion_mnist.flipped,
    ),
}


@dataclasses.dataclass(frozen=True)
class Epoch:
    """What an epoch left: its number from 1, the mean training loss and the averaged network, in eval mode."""

    number: int
    loss: float
    network: nn.Module


class RunningAverage:
    """An exponential average of parameters and buffers. It follows faster at first, to forget the random start."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.state = {key: tensor.detach().clone() for key, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        for key, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                self.state[key].lerp_(tensor, 1 - decay)
            else:
                self.state[key].copy_(tensor)  # BatchNorm's count of batches


def train(training: Training, split: Split, seed: int, epochs: int) -> Iterator[Epoch]:
    """Train from random weights on the CPU, one `Epoch` after the other; the same seed gives the same weights."""
    torch.manual_seed(seed)  # decides what a network itself draws in training
    generator = torch.Generator().manual_seed(seed)
    network, averaged = (shipped.untrained(training.network, seed) for _ in range(2))
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = RunningAverage(network, training.decay)
    optimiser = training.optimiser(network.parameters())
    steps_per_epoch = -(-len(split) // training.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, training.peak, total_steps=epochs * steps_per_epoch, pct_start=0.25, cycle_momentum=False
    )
    for number in range(1, epochs + 1):
        network.train()
        losses = []
        for images, labels in shuffled(split, training.batch, CPU, generator):
            loss = F.cross_entropy(network(images), labels, label_smoothing=training.smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            average.update(network)
            losses.append(loss.detach())
        averaged.load_state_dict(average.state)
        yield Epoch(number, torch.stack(losses).mean().item(), averaged.eval())


@torch.inference_mode()
def accuracy(network: nn.Module, split: Split, size: int = 100) -> float:
    """Share of the split's images [0, 1] whose class the network, in eval mode, names first."""
    right = 0
    for index in torch.arange(len(split)).split(size):
        images, labels = split.batch(index, CPU)
        right += int((network(images).argmax(dim=1) == labels).sum())
    return right / len(split)


def write(network: nn.Module, card: ModelCard, folder: Path) -> ModelCard:
    """Write the weights and then the card with their checksum; between the two moments loading says they do not fit."""
    tensors = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
    packed = safetensors.torch.save(tensors)
    card = dataclasses.replace(card, sha256=hashlib.sha256(packed).hexdigest())
    write_whole(folder / f"{card.name}.safetensors", packed)
    write_whole(folder / f"{card.name}.json", (json.dumps(dataclasses.asdict(card), indent=2) + "\n").encode())
    return card


def reproduce(
    name: str, seed: int, epochs: int | None, folder: Path, split: Split, say: Callable[[str], None] = print
) -> ModelCard:
    """Train one sample model on the split, score it on validation and test, and write its weights and card."""
    training = TRAININGS[name]
    command = f"python -m sample_models.train {name} --seed {seed}" + (f" --epochs {epochs}" if epochs else "")
    total = epochs or training.epochs
    validation, test = fashion_mnist.validation(), fashion_mnist.test()
    torch.set_num_threads(THREADS)
    start = time.monotonic()
    network = training.network()
    for epoch in train(training, split, seed, total):
        network, score = epoch.network, accuracy(epoch.network, validation)
        spent = f"{(time.monotonic() - start) / 60:.1f} min"
        say(f"{name} epoch {epoch.number}/{total}: loss {epoch.loss:.4f}, validation {score:.2%}, {spent}")
    minutes = (time.monotonic() - start) / 60
    # scored as it will be loaded: another memory format may add up in another order
    network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    card = ModelCard(
        name=name,
        data=fashion_mnist.ABOUT,
        train_size=len(split),
        validation_size=len(validation),
        test_size=len(test),
        seed=seed,
        command=command,
        recipe=str(training),
        epochs=total,
        torch=torch.__version__,
        device=CPU.type,
        threads=THREADS,
        train_minutes=round(minutes, 1),
        validation_accuracy=accuracy(network, validation),
        test_accuracy=accuracy(network, test),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        macs=model_macs(network, fashion_mnist.example()),
        sha256="",
    )
    card = write(network, card, folder)
    say(f"{name}: validation {card.validation_accuracy:.2%}, test {card.test_accuracy:.2%}, written to {folder}")
    return card


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sample_models.train", description="Train a sample model anew.")
    parser.add_argument("name", choices=TRAININGS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="instead of the recipe's own number")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the two files are written")
    chosen = parser.parse_args()
    if chosen.epochs is not None and chosen.epochs < 1:
        parser.error(f"--epochs is {chosen.epochs}; use 1 or more")
    split = fashion_mnist.train(TRAININGS[chosen.name].augment)
    reproduce(chosen.name, chosen.seed, chosen.epochs, chosen.folder, split, functools.partial(print, flush=True))


if __name__ == "__main__":
    main()
