"""Types of layers by name: torch's own and their subclasses, and nothing that is only called so."""

import pytest
from torch import nn
from torch.ao.nn import quantized

from pruning.model.layer_types import NORMS, WITH_MATRICES, has_channels, is_a, is_convolution


class Wider(nn.Linear):
    """A subclass of somebody's own."""


def of_the_same_name() -> nn.Module:
    class Linear(nn.Module):
        """Not torch's."""

    return Linear()


@pytest.mark.parametrize("name", (*WITH_MATRICES, *NORMS))
def test_every_name_is_a_type_of_torch_and_its_own(name):
    made = getattr(nn, name)
    assert made.__name__ == name and made.__module__.startswith("torch.nn.modules.")


@pytest.mark.parametrize(
    "module", [Wider(2, 2), nn.LazyLinear(2), nn.GRU(2, 2), nn.Conv3d(1, 1, 1), nn.Embedding(2, 2)]
)
def test_subclasses_count(module):
    assert is_a(module, WITH_MATRICES) and not is_a(module, NORMS)


@pytest.mark.parametrize("module", [nn.ReLU(), of_the_same_name(), quantized.Linear(2, 2), nn.PReLU()])
def test_other_modules_do_not_whatever_they_are_called(module):
    assert not is_a(module, WITH_MATRICES)


def test_convolutions_and_linear_layers_have_channels():
    assert is_convolution(nn.Conv1d(1, 1, 1)) and not is_convolution(nn.Linear(1, 1))
    assert not is_convolution(nn.ConvTranspose1d(1, 1, 1)) and not has_channels(nn.ConvTranspose1d(1, 1, 1))
    assert has_channels(nn.Linear(1, 1)) and not has_channels(nn.LSTM(1, 1))
