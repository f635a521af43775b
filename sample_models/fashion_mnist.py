"""Fashion-MNIST (Xiao et al. 2017, arXiv 1708.07747) as three fixed splits, read from the four IDX files beside this.

Images stay uint8 [n, 1, 28, 28] in memory and become float32 on the device they are used on.
"""

import functools
import hashlib
import math
import zlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from pruning.errors import WorkloadError
from pruning.workload import TensorSplit

ABOUT = (
    "Fashion-MNIST: 28 x 28 grey images of clothes in ten classes; 50 000 to train, 10 000 to validate, 10 000 to test"
)
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
TRAIN_SIZE = 50_000  # of the 60 000 training images; the other 10 000 are the validation split
MEAN, STD = 0.2860, 0.3530  # of the pixels of the training images, scaled to [0, 1]
BLACK = -MEAN / STD  # what a pixel of the background becomes

FOLDER = Path(__file__).parent / "data"
SHA256 = {
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}


def read_idx(name: str, folder: Path = FOLDER) -> Tensor:
    """The uint8 tensor of a gzipped IDX file: two zeros, 8 (uint8), the number of sizes, big-endian sizes, data."""
    restore = "restore it with `git checkout -- sample_models/data`"
    try:
        packed = (folder / name).read_bytes()
    except FileNotFoundError:
        raise WorkloadError(f"sample_models/data/{name} is missing; {restore}") from None
    except OSError as error:
        raise WorkloadError(f"sample_models/data/{name} cannot be read ({error.strerror}); {restore}") from error
    found = hashlib.sha256(packed).hexdigest()
    if found != SHA256[name]:
        wrong = f"has the SHA-256 {found[:12]}... instead of {SHA256[name][:12]}..., so it is damaged or another file"
        raise WorkloadError(f"sample_models/data/{name} {wrong}; {restore}")
    content = bytearray(zlib.decompress(packed, wbits=31))  # 31: gzip; a bytearray, since tensors want writable memory
    sizes = [int.from_bytes(content[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(content[3])]
    return torch.frombuffer(content, dtype=torch.uint8, count=math.prod(sizes), offset=4 + 4 * len(sizes)).view(sizes)


@functools.cache
def stored_images() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(images uint8 [n, 1, 28, 28], labels int64 [n]) of the 60 000 training and the 10 000 test images; read once."""
    training = read_idx("train-images-idx3-ubyte.gz").unsqueeze(1), read_idx("train-labels-idx1-ubyte.gz").long()
    test = read_idx("t10k-images-idx3-ubyte.gz").unsqueeze(1), read_idx("t10k-labels-idx1-ubyte.gz").long()
    return training, test


def normalised(stored: Tensor) -> Tensor:
    """uint8 [b, 1, 28, 28] to float32 of mean 0 and standard deviation 1 over the training images."""
    return stored.float().mul_(1 / (255 * STD)).sub_(MEAN / STD)


def flipped(images: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the images [b, 1, 28, 28] mirrored left to right."""
    mirrored = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < 0.5
    return torch.where(mirrored, images.flip(3), images)


def flipped_and_nudged(images: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the images [b, 1, 28, 28] mirrored left to right, each moved by up to one pixel each way."""
    return _flipped_and_moved(images, generator, reach=1)


def flipped_and_shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the images [b, 1, 28, 28] mirrored left to right, each moved by up to two pixels each way."""
    return _flipped_and_moved(images, generator, reach=2)


def _flipped_and_moved(images: Tensor, generator: torch.Generator, reach: int) -> Tensor:
    count, _, height, width = images.shape
    device = images.device
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    flip = torch.rand(count, 1, generator=generator, device=device) < 0.5
    shift = torch.randint(2 * reach + 1, (2, count, 1), generator=generator, device=device)
    padded = F.pad(images, (reach,) * 4, value=BLACK).flatten(1)
    sources = (rows + shift[0])[:, :, None] * (width + 2 * reach)
    sources = sources + (torch.where(flip, columns.flip(0), columns) + shift[1])[:, None, :]
    return padded.gather(1, sources.flatten(1)).view_as(images)


@functools.cache
def train(augment: Callable[[Tensor, torch.Generator], Tensor] | None = None) -> TensorSplit:
    """The first 50 000 training images. One split for each way to augment, so that a device holds its images once."""
    images, labels = stored_images()[0]
    return TensorSplit(images[:TRAIN_SIZE], labels[:TRAIN_SIZE], normalised, augment)


@functools.cache
def validation() -> TensorSplit:
    """The last 10 000 training images: no sample model was trained on them."""
    images, labels = stored_images()[0]
    return TensorSplit(images[TRAIN_SIZE:], labels[TRAIN_SIZE:], normalised)


@functools.cache
def test() -> TensorSplit:
    """The 10 000 test images."""
    return TensorSplit(*stored_images()[1], normalised)


def example() -> Tensor:
    """One prepared input float32 [1, 1, 28, 28]: the first validation image."""
    return normalised(validation().inputs[:1])
