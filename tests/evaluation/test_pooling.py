"""Pooling by comparisons gives what torch's own gives, to the last bit, and stands in for it only where it does."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning.evaluation import pooling
from pruning.evaluation.pooling import QuickPooling, halved

LAYOUTS = {"rows": torch.contiguous_format, "channels last": torch.channels_last}


def test_by_hand():
    image = torch.tensor([[[1.0, 5.0, 2.0], [3.0, 4.0, 9.0], [8.0, 8.0, 8.0]]])
    assert halved(image).tolist() == [[[5.0]]]  # the third row and column have no partner


@given(
    st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 3), st.integers(2, 9), st.integers(2, 9),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float64]), st.sampled_from(sorted(LAYOUTS)), st.booleans(),
)  # fmt: skip
def test_as_torch_does(seed, samples, channels, height, width, dtype, layout, holes):
    images = torch.randn(samples, channels, height, width, generator=torch.Generator().manual_seed(seed)).to(dtype)
    images = images.to(memory_format=LAYOUTS[layout])
    if holes:
        images.flatten()[:: 1 + seed % 5] = float("nan")
    expected = F.max_pool2d(images, 2)
    found = halved(images)
    assert found.dtype == dtype and torch.equal(found.nan_to_num(7.0), expected.nan_to_num(7.0))
    assert torch.equal(found.isnan(), expected.isnan())


class Pooled(nn.Module):
    """Calls max pooling in one way."""

    def __init__(self, call: str) -> None:
        super().__init__()
        self.call = call
        self.layer = nn.MaxPool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        return eval(self.call, {"F": F, "torch": torch, "x": images, "layer": self.layer})


@pytest.mark.parametrize(
    "call",
    [
        "F.max_pool2d(x, 2)",
        "F.max_pool2d(input=x, kernel_size=(2, 2), stride=[2, 2])",
        "torch.max_pool2d(x, 2)",
        "layer(x)",
    ],
)
def test_stands_in_however_it_is_called(call: str, monkeypatch: pytest.MonkeyPatch):
    images, seen = torch.randn(2, 3, 6, 6), []
    monkeypatch.setattr(pooling, "halved", lambda x: seen.append(x) or halved(x))
    with torch.no_grad(), QuickPooling():
        found = Pooled(call)(images)
    assert len(seen) == 1 and torch.equal(found, F.max_pool2d(images, 2))


@pytest.mark.parametrize(
    "call",
    [
        "F.max_pool2d(x, 3)",
        "F.max_pool2d(x, 2, 1)",
        "F.max_pool2d(x, 2, padding=1)",
        "F.max_pool2d(x, 2, dilation=2)",
        "F.max_pool2d(x, 2, ceil_mode=True)",
        "F.max_pool2d(x, 2, return_indices=True)[1]",
    ],
)
def test_leaves_every_other_pooling_to_torch(call: str):
    images = torch.randn(2, 3, 7, 7)
    expected = Pooled(call)(images)
    with torch.no_grad(), QuickPooling():
        assert torch.equal(Pooled(call)(images), expected)


def test_leaves_a_pass_that_wants_gradients_to_torch(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pooling, "halved", lambda _: pytest.fail("a gradient is wanted"))
    images = torch.randn(1, 1, 4, 4, requires_grad=True)
    with QuickPooling():
        F.max_pool2d(images, 2).sum().backward()
    assert images.grad is not None and float(images.grad.sum()) == 4.0


def test_an_image_without_a_square_is_torchs_to_refuse():
    with pytest.raises(RuntimeError), torch.no_grad(), QuickPooling():
        F.max_pool2d(torch.randn(1, 1, 1, 4), 2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # torch has others by now
def test_leaves_quantised_images_to_torch():
    images = torch.quantize_per_tensor(torch.randn(1, 2, 4, 4), 0.1, 0, torch.quint8)
    with torch.no_grad(), QuickPooling():
        assert torch.equal(F.max_pool2d(images, 2).dequantize(), F.max_pool2d(images.dequantize(), 2))
