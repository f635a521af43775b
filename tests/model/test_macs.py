import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pruning.model.labels.tracing import taken_apart
from pruning.model.macs import macs_of
from tests.architectures import ARCHITECTURES, inputs_of, made
from tests.networks import seeded


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_total_is_half_of_what_torch_counts(name):
    model, example = made(name), inputs_of(name, count=1)
    # recurrent layers and attention are single operations to torch's counter, which it does not know
    with FlopCounterMode(display=False) as counter, torch.no_grad(), taken_apart():
        model(example)
    found = macs_of(model, example)
    assert found.total * 2 == counter.get_total_flops() > 0
    assert set(found.of_parameters) <= {name for name, parameter in model.named_parameters() if parameter.dim() > 1}


def test_each_weight_has_its_own_by_hand():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    found = macs_of(model, torch.zeros(1, 2, 4, 4))
    # 2 x 2 positions, 4 filters of 2 x 3 x 3
    assert found.of_parameters == {"0.weight": 4 * 4 * 18, "2.weight": 16 * 3} and found.of_products == {}


def test_products_of_what_was_computed_are_the_modules():
    found = macs_of(made("vit"), inputs_of("vit", count=1))
    # five tokens, eight wide: queries with keys, and weights with values
    assert found.of_products == {"blocks.0.attn": 2 * 5 * 5 * 8, "blocks.1.attn": 2 * 5 * 5 * 8}
    assert found.of_parameters["blocks.0.attn.qkv.weight"] == 5 * 8 * 24
    assert found.of_parameters["blocks.1.fc1.weight"] == 5 * 8 * 10


def test_a_recurrent_layer_counts_every_step():
    model = nn.GRU(3, 4, batch_first=True)

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = model

        def forward(self, steps):
            return self.gru(steps)[0]

    found = macs_of(Last(), torch.zeros(1, 5, 3))
    assert found.of_parameters == {"gru.weight_ih_l0": 5 * 12 * 3, "gru.weight_hh_l0": 5 * 12 * 4}


def test_a_weight_that_is_used_twice_counts_twice_and_a_tied_one_by_its_first_name():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.second.weight = self.first.weight

        def forward(self, values):
            return self.second(self.first(self.first(values)))

    assert macs_of(Twice(), torch.zeros(1, 4)).of_parameters == {"first.weight": 3 * 16}


def test_a_weight_that_its_module_makes_anew_is_still_its_own():
    class Standardised(nn.Conv2d):
        def forward(self, images):
            return F.conv2d(images, self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True), self.bias)

    model = nn.Sequential(Standardised(2, 4, 1), nn.Flatten())
    assert macs_of(model, torch.zeros(1, 2, 3, 3)).of_parameters == {"0.weight": 9 * 8}


def test_the_model_and_its_mode_stay_as_they_were():
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))).train()
    model[1].eval()
    macs_of(model, torch.zeros(1, 3))
    assert [module.training for module in model] == [True, False, True]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
