"""Which of torch's kernels compute: switches that no test on a CPU would miss, for they act on a GPU."""

import pytest
import torch
from torch import nn

from pruning.model.devices import recurrence_apart, repeatable
from pruning.model.layer_table import model_macs
from pruning.model.macs import macs_of
from pruning.repair import LeastSquares
from pruning.repair.mended import Mender
from pruning.repair.products import watched
from tests.networks import CPU, taught


def switches() -> tuple[bool, bool, bool, bool]:
    cudnn = torch.backends.cudnn
    return cudnn.enabled, torch.backends.mkldnn.enabled, cudnn.deterministic, cudnn.allow_tf32


class Recurrent(nn.Module):
    """Keeps what the switches were at its last pass."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.at = nn.LSTM(3, 5, batch_first=True), switches()

    def forward(self, words):
        self.at = switches()
        return self.lstm(words)[0][:, -1]


class Silent:
    def before(self, product):
        pass

    def after(self, product, output):
        pass


def products(model: nn.Module, example: torch.Tensor) -> None:
    with watched(model, Silent()):
        model(example)


@pytest.mark.parametrize("look", [macs_of, model_macs, products])
def test_recurrent_layers_are_looked_at_without_the_kernels_that_compute_them_whole(look):
    """On a GPU cuDNN's left an LSTM without multiply-accumulates."""
    before, model = switches(), Recurrent()
    look(model, torch.zeros(1, 2, 3))
    assert model.at[:2] == (False, False) and switches() == before


@pytest.mark.parametrize("block, inside", [(recurrence_apart, (False, False)), (repeatable, (True, False))])
def test_switches_are_as_before_also_behind_an_error(block, inside):
    before = switches()
    with pytest.raises(KeyError), block():
        assert (switches()[:2] if block is recurrence_apart else switches()[2:]) == inside
        raise KeyError
    assert switches() == before


def test_a_network_is_repaired_by_kernels_that_give_the_same_bits_each_time(monkeypatch):
    """On a GPU a block repaired twice had other bits: cuDNN takes kernels that add in any order, unless it is told."""
    seen = []
    monkeypatch.setattr(LeastSquares, "mend", lambda *_: seen.append(switches()[2:]) or {})
    work = taught("residual")
    model = work.build()
    Mender(LeastSquares(samples=8), work.build(), work, CPU, 0).mend(model, {})
    assert seen == [(True, False)]
