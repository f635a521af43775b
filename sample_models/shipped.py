"""The weights that ship with the project, `NAME.safetensors` beside the card `NAME.json`, checked, as workloads."""

import functools
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from pruning.model.devices import drawn_by
from pruning.workload import Classification, Workload
from sample_models import fashion_mnist
from sample_models.cards import FOLDER, card, read, wrong


@functools.cache
def weights(name: str, network: Callable[[], nn.Module], folder: Path = FOLDER) -> dict[str, Tensor]:
    """The shipped tensors, checked against the card and the shapes of `network()`. Read once: callers copy them."""
    file = f"{name}.safetensors"
    packed = read(file, folder)
    found, expected = hashlib.sha256(packed).hexdigest(), card(name, folder).sha256
    if found != expected:
        raise wrong(
            file, f"has the SHA-256 {found[:12]}... but its card says {expected[:12]}..., so one of them is damaged"
        )
    try:
        tensors = safetensors.torch.load(packed)
    except safetensors.SafetensorError as error:
        raise wrong(file, "is not a safetensors file") from error
    wanted = {key: tuple(tensor.shape) for key, tensor in network().state_dict().items()}
    for key in sorted(wanted.keys() | tensors.keys()):
        shape = tuple(tensors[key].shape) if key in tensors else None
        if shape != wanted.get(key):
            raise wrong(file, f"holds {key} as {shape} where the network has {wanted.get(key)}")
        if not torch.isfinite(tensors[key]).all():
            raise wrong(file, f"holds NaN or Inf in {key}")
    return tensors


def untrained(network: Callable[[], nn.Module], seed: int) -> nn.Module:
    """`network()` with the random weights that training with this seed starts from; global generators stay put."""
    with drawn_by(seed, torch.device("cpu")):
        return network()


def initial_weights(name: str, network: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """What the training of a sample model started from. Drawn anew from the seed on its card; the caller owns it."""
    return untrained(network, card(name).seed).state_dict()


def workload(
    name: str,
    network: Callable[[], nn.Module],
    build: Callable[[], nn.Module],
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    teachers: Mapping[str, Callable[[], nn.Module]] | None = None,
) -> Workload:
    """A sample model on Fashion-MNIST. `network` makes the untrained network, `build` one with the shipped weights.

    Building once here makes damaged weights known before a run starts.
    """
    build()
    return Workload(
        name=name,
        build=build,
        example=fashion_mnist.example(),
        train=fashion_mnist.train(augment),
        validation=fashion_mnist.validation(),
        test=fashion_mnist.test(),
        task=Classification(fashion_mnist.CLASSES),
        data=fashion_mnist.ABOUT,
        checkpoints={"initial": functools.partial(initial_weights, name, network)},
        teachers=teachers or {},
    )
