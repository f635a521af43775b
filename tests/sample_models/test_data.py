"""Fashion-MNIST as it ships: the files, the splits and how images become inputs."""

import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from pruning.errors import WorkloadError
from sample_models import fashion_mnist

CPU = torch.device("cpu")
SMALL = "t10k-labels-idx1-ubyte.gz"


def test_files_have_the_checksums_of_the_code_and_of_the_list_for_people():
    listed = dict(reversed(line.split()) for line in (fashion_mnist.FOLDER / "SHA256SUMS").read_text().splitlines())
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in fashion_mnist.FOLDER.glob("*.gz")}
    assert found == fashion_mnist.SHA256
    assert listed == fashion_mnist.SHA256


def test_licence_ships_with_the_data():
    assert "Copyright (c) 2017 Zalando SE" in (fashion_mnist.FOLDER / "LICENSE").read_text()


def test_splits_have_their_sizes_and_are_parsed_once():
    train, validation, test = fashion_mnist.train(), fashion_mnist.validation(), fashion_mnist.test()
    assert [len(split) for split in (train, validation, test)] == [50_000, 10_000, 10_000]
    for split in (train, validation, test):
        assert split.inputs.dtype == torch.uint8
        assert split.inputs.shape[1:] == (1, 28, 28)
        assert split.targets.dtype == torch.int64
    assert fashion_mnist.test() is test
    assert fashion_mnist.stored_images() is fashion_mnist.stored_images()


def test_train_and_validation_are_the_two_ends_of_the_training_file():
    images, labels = fashion_mnist.stored_images()[0]
    train, validation = fashion_mnist.train(), fashion_mnist.validation()
    assert torch.equal(torch.cat([train.inputs, validation.inputs]), images)
    assert torch.equal(torch.cat([train.targets, validation.targets]), labels)
    image_bytes = 28 * 28
    assert validation.inputs.data_ptr() - train.inputs.data_ptr() == 50_000 * image_bytes


def test_classes_are_balanced():
    assert torch.bincount(fashion_mnist.test().targets).tolist() == [1000] * 10
    train = torch.bincount(fashion_mnist.train().targets)
    validation = torch.bincount(fashion_mnist.validation().targets)
    assert (train + validation).tolist() == [6000] * 10
    assert validation.min() > 900 and validation.max() < 1100
    assert len(fashion_mnist.CLASSES) == 10


def test_inputs_have_mean_0_and_standard_deviation_1():
    inputs, targets = fashion_mnist.train().batch(torch.arange(10_000), CPU)
    assert inputs.dtype == torch.float32
    assert inputs.mean().item() == pytest.approx(0, abs=0.02)
    assert inputs.std().item() == pytest.approx(1, abs=0.02)
    assert targets[:3].tolist() == [9, 0, 0]
    assert inputs.min().item() == pytest.approx(fashion_mnist.BLACK)


def test_augmentation_mirrors_and_shifts_and_repeats_with_its_seed():
    image = torch.full((1, 1, 28, 28), fashion_mnist.BLACK)
    image[0, 0, 10, 5] = 1.0  # one bright pixel, to be followed
    varied = fashion_mnist.flipped_and_shifted(image.expand(500, -1, -1, -1), torch.Generator().manual_seed(0))
    again = fashion_mnist.flipped_and_shifted(image.expand(500, -1, -1, -1), torch.Generator().manual_seed(0))
    assert torch.equal(varied, again)
    places = {tuple(place) for place in (varied[:, 0] == 1.0).nonzero()[:, 1:].tolist()}
    columns = [*range(5 - 2, 5 + 3), *range(22 - 2, 22 + 3)]  # column 5, and 22 where it is mirrored
    assert places == {(row, column) for row in range(10 - 2, 10 + 3) for column in columns}


def test_flipping_alone_mirrors_half():
    image = torch.arange(28.0).expand(1000, 1, 28, 28)
    varied = fashion_mnist.flipped(image, torch.Generator().manual_seed(0))
    mirrored = varied[:, 0, 0, 0] == 27.0
    assert 400 < mirrored.sum() < 600
    assert torch.equal(varied[mirrored], image[mirrored].flip(3))
    assert torch.equal(varied[~mirrored], image[~mirrored])


def test_only_the_training_split_is_varied():
    index = torch.arange(50)
    augmented = fashion_mnist.train(fashion_mnist.flipped_and_shifted)
    plain, _ = augmented.batch(index, CPU)
    varied, _ = augmented.batch(index, CPU, torch.Generator().manual_seed(0))
    assert not torch.equal(plain, varied)
    for split in (fashion_mnist.validation(), fashion_mnist.test()):
        assert torch.equal(split.batch(index, CPU)[0], split.batch(index, CPU, torch.Generator())[0])


def test_damaged_file_is_named_with_the_way_out(tmp_path: Path):
    shutil.copy(fashion_mnist.FOLDER / SMALL, tmp_path)
    content = bytearray((tmp_path / SMALL).read_bytes())
    content[2000] ^= 1
    (tmp_path / SMALL).write_bytes(content)
    with pytest.raises(WorkloadError) as caught:
        fashion_mnist.read_idx(SMALL, tmp_path)
    sentence = str(caught.value)
    assert sentence.startswith(f"sample_models/data/{SMALL} has the SHA-256 ")
    assert sentence.endswith("restore it with `git checkout -- sample_models/data`")
    assert str(tmp_path) not in sentence


def test_missing_file_is_named_with_the_way_out(tmp_path: Path):
    with pytest.raises(WorkloadError) as caught:
        fashion_mnist.read_idx(SMALL, tmp_path)
    assert str(caught.value) == (
        f"sample_models/data/{SMALL} is missing; restore it with `git checkout -- sample_models/data`"
    )


def test_nudging_moves_by_one_pixel_at_most():
    image = torch.full((1, 1, 28, 28), fashion_mnist.BLACK)
    image[0, 0, 10, 5] = 1.0
    varied = fashion_mnist.flipped_and_nudged(image.expand(500, -1, -1, -1), torch.Generator().manual_seed(0))
    places = {tuple(place) for place in (varied[:, 0] == 1.0).nonzero()[:, 1:].tolist()}
    assert places == {(row, column) for row in (9, 10, 11) for column in (4, 5, 6, 21, 22, 23)}
