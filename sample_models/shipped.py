"""The weights that ship with the project, each `NAME.safetensors` with its model card `NAME.json`, and their checks."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from pruning.errors import WorkloadError
from pruning.model.devices import drawn_by
from pruning.workload import Classification, Workload
from sample_models import fashion_mnist

FOLDER = Path(__file__).parent / "weights"


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """Where a sample model comes from and what it was measured to do. Accuracies lie in [0, 1], MACs per image."""

    name: str
    data: str
    train_size: int
    validation_size: int
    test_size: int
    seed: int
    command: str
    recipe: str
    epochs: int
    torch: str
    device: str
    threads: int
    train_minutes: float
    validation_accuracy: float
    test_accuracy: float
    parameters: int
    macs: int
    sha256: str


def _wrong(file: str, what: str) -> WorkloadError:
    name = file.partition(".")[0]
    path = f"sample_models/weights/{file}"
    return WorkloadError(
        f"{path} {what}; restore it with `git checkout -- {path}` "
        f"or train it anew with `python -m sample_models.train {name}`"
    )


def _read(file: str, folder: Path) -> bytes:
    try:
        return (folder / file).read_bytes()
    except FileNotFoundError:
        raise _wrong(file, "is missing") from None
    except OSError as error:
        raise _wrong(file, f"cannot be read ({error.strerror})") from error


def card(name: str, folder: Path = FOLDER) -> ModelCard:
    """The model card of a sample model; reads neither the data nor the weights."""
    file = f"{name}.json"
    try:
        return ModelCard(**json.loads(_read(file, folder)))
    except (TypeError, ValueError) as error:  # TypeError: a field is missing or unknown
        raise _wrong(file, "is not a model card of this version of the project") from error


@functools.cache
def weights(name: str, network: Callable[[], nn.Module], folder: Path = FOLDER) -> dict[str, Tensor]:
    """The shipped tensors, checked against the card and the shapes of `network()`. Read once: callers copy them."""
    file = f"{name}.safetensors"
    packed = _read(file, folder)
    found, expected = hashlib.sha256(packed).hexdigest(), card(name, folder).sha256
    if found != expected:
        raise _wrong(
            file, f"has the SHA-256 {found[:12]}... but its card says {expected[:12]}..., so one of them is damaged"
        )
    try:
        tensors = safetensors.torch.load(packed)
    except safetensors.SafetensorError as error:
        raise _wrong(file, "is not a safetensors file") from error
    wanted = {key: tuple(tensor.shape) for key, tensor in network().state_dict().items()}
    for key in sorted(wanted.keys() | tensors.keys()):
        shape = tuple(tensors[key].shape) if key in tensors else None
        if shape != wanted.get(key):
            raise _wrong(file, f"holds {key} as {shape} where the network has {wanted.get(key)}")
        if not torch.isfinite(tensors[key]).all():
            raise _wrong(file, f"holds NaN or Inf in {key}")
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
    )
