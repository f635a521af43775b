"""What a network of the zoo is, and how its numbers are made such that a wrong cut shows in its output."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 10
IMAGE = 32
WORDS = 60
LENGTH = 12


@dataclass(frozen=True)
class Network:
    """A model and one of its inputs.

    Attributes:
        model: Takes one tensor [n, *input] and gives logits [n, classes].
        example: One input [1, *input].
        words: The size of its vocabulary; 0 where inputs are not words.
    """

    model: nn.Module
    example: Tensor
    words: int = 0

    def samples(self, count: int, seed: int = 0) -> Tensor:
        """Inputs by lot, [count, *input]."""
        lots = torch.Generator().manual_seed(seed)
        shape = (count, *self.example.shape[1:])
        if self.words:
            return torch.randint(3, self.words, shape, generator=lots)  # 0 to 2 are often padding, beginning and end
        if len(shape) == 4:
            return _images(shape, lots)
        return torch.randn(shape, generator=lots)


def _images(shape: tuple[int, ...], lots: torch.Generator) -> Tensor:
    """Large patches and some noise: of noise alone every network with a mean over pixels thinks the same."""
    patches = torch.randn(*shape[:2], 4, 4, generator=lots)
    return F.interpolate(patches, shape[2:], mode="nearest") + 0.3 * torch.randn(shape, generator=lots)


def of_images(model: nn.Module, size: int = IMAGE) -> Network:
    return Network(model, _images((1, 3, size, size), torch.Generator().manual_seed(1)))


def of_words(model: nn.Module, length: int = LENGTH) -> Network:
    return Network(model, torch.randint(3, WORDS, (1, length)), WORDS)


def of_sound(model: nn.Module, length: int) -> Network:
    return Network(model, torch.randn(1, length))


class Logits(nn.Module):
    """A model that returns an object with logits [n, classes]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs).logits


class NextWord(nn.Module):
    """A language model: the logits of the word that comes next, [n, words]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, words: Tensor) -> Tensor:
        return self.network(words).logits[:, -1]


class Answer(nn.Module):
    """An encoder and a decoder that has begun with the same words for everybody: the logits of its next word."""

    begun: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("begun", torch.tensor([[3, 7, 5, 4]]))

    def forward(self, inputs: Tensor) -> Tensor:
        begun = self.begun.expand(len(inputs), -1)
        return self.network(inputs, decoder_input_ids=begun).logits[:, -1]


class Pixels(nn.Module):
    """A segmentation model that returns an object with logits [n, classes, height, width]: their mean over pixels."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images).logits.mean(dim=(2, 3))


@torch.no_grad()
def enliven(network: Network) -> None:
    """Give every tensor of the model values by lot, in place.

    A network as it is drawn hides a wrong cut: biases are 0, statistics are 0 and 1, layer scales are 1e-6, and weights
    drawn with a deviation of 0.02 leave next to nothing of what comes in.
    """
    for module in network.model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            _enliven_parameter(module, name, parameter)
    norms = [module for module in network.model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if norms:
        _enliven_statistics(network, norms)
    network.model.eval()


def _enliven_parameter(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
    constant = parameter.numel() > 1 and bool(parameter.min() == parameter.max())
    if isinstance(module, nn.Embedding):
        parameter.normal_()
    elif constant and float(parameter.flatten()[0]) == 0:
        parameter.normal_(0, 0.1)
    elif constant:
        parameter.uniform_(0.5, 1.5)
    elif parameter.dim() >= 2 and name.endswith(("weight", "kernel")):
        inputs = parameter.numel() / parameter.shape[0]
        parameter.mul_((2 / inputs) ** 0.5 / parameter.std().clamp(min=1e-6))


def _enliven_statistics(network: Network, norms: Sequence[nn.Module]) -> None:
    """Those of some samples, each a little off: with any others a deep network passes nothing on."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    network.model.train()
    for seed in (1, 2):
        network.model(network.samples(16, seed))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.running_mean.add_(0.1 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean))
        norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.5, 1.5))
