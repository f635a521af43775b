import copy
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import nn

from pruning.errors import RecipeError
from pruning.granularities import GRANULARITIES
from pruning.model.devices import place
from pruning.model.units import Masks, apply_masks, masks_of
from pruning.training import fine_tuning as tuning
from pruning.training.fine_tuning import WHOLE_NUMBERS, Training, masker, steps_per_epoch, tune
from pruning.training.tuning import Tuning
from pruning.workload import Workload
from tests.every_granularity import tiny_for
from tests.networks import CPU, VECTOR, samples, seeded, tiny, workload

FAST = Tuning(epochs=2, batch_size=64, learning_rate=0.05)


def masked(work: Workload, granularity: str) -> tuple[nn.Module, Masks]:
    model = work.build()
    groups = GRANULARITIES[granularity]().sorted_out(model, work.example)[0]
    keep = {group.name: torch.arange(group.units) % 2 == 0 for group in groups}
    masks = masks_of(groups, keep, model)
    apply_masks(model, masks)
    return model, masks


@pytest.mark.parametrize(
    "granularity, network",
    [
        *((granularity, "") for granularity in GRANULARITIES),
        *(("weights", network) for network in ("mlp", "residual")),
        *(("channels", network) for network in ("mlp", "residual")),
    ],
)
@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_pruned_values_stay_exactly_zero_and_the_others_move(optimiser, granularity, network):
    work = tiny(network) if network else tiny_for(granularity, count=300)
    model, masks = masked(work, granularity)
    before, keys = copy.deepcopy(model.state_dict()), list(model.state_dict())
    for _ in tune(model, work, Tuning(epochs=2, batch_size=64, optimiser=optimiser, learning_rate=0.05), masks, CPU, 0):
        for name, stays in masks.items():  # also in the middle of it
            assert int(model.get_parameter(name)[~stays].count_nonzero()) == 0
    assert sum(int((~stays).sum()) for stays in masks.values()) > 10
    moved = sum(int((model.get_parameter(name) != before[name])[stays].sum()) for name, stays in masks.items())
    assert moved > 0.5 * sum(int(stays.sum()) for stays in masks.values())
    assert list(model.state_dict()) == keys and not model.training


def test_without_masks_zeros_come_back():
    work = tiny("mlp")
    model, masks = masked(work, "weights")
    list(tune(model, work, FAST, {}, CPU, 0))
    assert all(int(model.get_parameter(name)[~stays].count_nonzero()) > 0 for name, stays in masks.items())


def test_tuning_learns():
    work = tiny("mlp")
    model = work.build()
    losses = [step.loss for step in tune(model, work, Tuning(epochs=10, batch_size=32, learning_rate=0.02), {}, CPU, 0)]
    assert losses[-1] < losses[0] - 0.2


@pytest.mark.parametrize(
    "images, batch, per_epoch",
    [
        (None, 64, 5),
        (None, 300, 1),
        (None, 128, 3),
        (None, 299, 1),
        (None, 1000, 1),
        (100, 32, 4),
        (96, 32, 3),
        (97, 32, 3),
        (9999, 64, 5),
    ],
)
def test_steps_are_counted_before_they_are_taken(images, batch, per_epoch):
    work, tuning = (
        tiny("mlp"),
        Tuning(epochs=2, batch_size=batch, images_per_epoch=max(images, batch) if images else None),
    )
    assert steps_per_epoch(tuning, work.train) == per_epoch
    steps = list(tune(work.build(), work, tuning, {}, CPU, 0, every=1))
    assert [step.step for step in steps] == list(range(2 * per_epoch))
    assert [step.epoch for step in steps] == [0] * per_epoch + [1] * per_epoch
    assert {step.steps for step in steps} == {2 * per_epoch}


def test_every_so_many_steps_and_the_last_of_each_epoch_are_said():
    work = tiny("mlp")
    steps = [step.step for step in tune(work.build(), work, Tuning(epochs=2, batch_size=32), {}, CPU, 0, every=4)]
    assert steps == [0, 4, 8, 9, 12, 16, 19]


@pytest.mark.parametrize("steps", range(1, 12))
def test_tunings_of_a_few_steps_run(steps):
    work, tuning = tiny("mlp"), Tuning(epochs=1, batch_size=2, images_per_epoch=2 * steps)
    assert len(list(tune(work.build(), work, tuning, {}, CPU, 0, every=1))) == steps


def masks_from(model: nn.Module, shares: tuple[float, ...]) -> list[Masks]:
    """Masks of the weights, each with more of them pruned."""
    weights = {name: p for name, p in model.named_parameters() if p.dim() > 1}
    places = {name: torch.arange(p.numel()).reshape(p.shape) / p.numel() for name, p in weights.items()}
    return [{name: place >= share for name, place in places.items()} for share in shares]


def test_a_training_in_parts_is_one_cycle_of_the_learning_rate_with_the_masks_of_each_part(monkeypatch):
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def noted(self, *arguments, **named):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    work, tuning = tiny("mlp"), Tuning(epochs=2, batch_size=64, learning_rate=0.05)
    whole = work.build()
    list(tune(whole, work, tuning, {}, CPU, 3))
    in_one, rates = rates.copy(), rates
    rates.clear()
    model = work.build()
    training = Training(model, work, tuning, 10, CPU, 3)
    taken = [list(training.steps(count, masks, every=1)) for count, masks in ((3, {}), (0, {}), (7, {}))]
    assert rates == in_one and len(set(rates)) > 5 and max(rates) > 5 * rates[-1]
    assert [[step.step for step in part] for part in taken] == [[0, 1, 2], [], [3, 4, 5, 6, 7, 8, 9]]
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), model.state_dict().values(), strict=True))


def test_each_part_of_a_training_keeps_its_own_masks():
    work = tiny("mlp")
    model = work.build()
    training = Training(model, work, FAST, 10, CPU, 0)
    for masks in masks_from(model, (0.2, 0.5, 0.9)):
        apply_masks(model, masks)
        list(training.steps(3, masks))
        for name, stays in masks.items():
            assert int(model.get_parameter(name)[~stays].count_nonzero()) == 0
            assert int((model.get_parameter(name)[stays] == 0).sum()) == 0
    assert training.done == 9 and not model.training


def test_no_epochs_leave_the_model_bitwise_as_it_was():
    work = tiny("conv_bn")
    model = work.build()
    before = copy.deepcopy(model.state_dict())
    assert list(tune(model, work, Tuning(epochs=0), {}, CPU, 0)) == []
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def dropping() -> Workload:
    return workload(
        lambda: seeded(lambda: nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Dropout(0.5), nn.Linear(20, 3))), VECTOR
    )


@pytest.mark.parametrize("work", [tiny("residual"), tiny("mlp"), dropping()], ids=["batchnorm", "mlp", "dropout"])
def test_the_same_seed_ends_bitwise_equal_and_another_does_not(work):
    ends = []
    for seed in (0, 0, 1):
        model = work.build()
        torch.rand(len(ends) + 1)  # what others draw in the meantime does not matter
        list(tune(model, work, FAST, {}, CPU, seed))
        ends.append(model.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert not all(torch.equal(ends[0][name], ends[2][name]) for name in ends[0])


def test_the_global_generator_is_left_alone():
    work = dropping()
    before = torch.get_rng_state()
    list(tune(work.build(), work, FAST, {}, CPU, 0))
    assert torch.equal(before, torch.get_rng_state())


def test_frozen_parameters_do_not_move():
    work = tiny("conv_bn")
    model = work.build()
    model[4].weight.requires_grad_(False)
    before = model[4].weight.clone()
    list(tune(model, work, FAST, {}, CPU, 0))
    assert torch.equal(before, model[4].weight) and not model[4].weight.requires_grad


def test_only_the_training_split_is_seen():
    class Unseen:
        def __len__(self) -> int:
            return 300

        def batch(self, *_):
            raise AssertionError("tuning looked at validation or test")

    work = tiny("mlp")
    hidden = Workload("t", work.build, work.example, samples(VECTOR, 100, 0), Unseen(), Unseen(), work.task)
    assert list(tune(hidden.build(), hidden, FAST, {}, CPU, 0))


@pytest.mark.parametrize(
    "how, sentence",
    [
        ({"epochs": -1}, r"tuning\.epochs is -1; it lies between 0 and 10000"),
        ({"learning_rate": 0}, r"tuning\.learning_rate is 0; it lies above 0 and at most 10"),
        ({"learning_rate": 10.5}, r"tuning\.learning_rate is 10\.5; it lies above 0 and at most 10"),
        ({"learning_rate": float("nan")}, r"tuning\.learning_rate is nan"),
        ({"batch_size": 1}, r"tuning\.batch_size is 1; it lies between 2 and"),
        ({"images_per_epoch": 5}, r"tuning\.images_per_epoch is 5; it is at least the batch size, 128"),
        ({"images_per_epoch": 1}, r"tuning\.images_per_epoch is 1; it lies between 2 and"),
    ],
)
def test_bad_values_are_refused_by_name(how, sentence):
    with pytest.raises(RecipeError, match=sentence):
        Tuning(**how)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_what_has_been_pruned_becomes_zero_also_where_it_is_not_a_number(dtype):
    model = nn.Sequential(nn.Linear(3, 2)).to(dtype)
    values = torch.tensor([[float("nan"), float("inf"), -3.0], [float("nan"), -0.0, 1e-3]], dtype=dtype)
    model[0].weight.data.copy_(values)
    stays = torch.tensor([[False, False, False], [True, True, True]])
    masker(model, {"0.weight": stays}, CPU)()
    assert model[0].weight[0].tolist() == [0.0, 0.0, 0.0] and not bool(model[0].weight[0].signbit().any())
    whole_numbers = WHOLE_NUMBERS[values.element_size()]
    assert torch.equal(model[0].weight[1].detach().view(whole_numbers), values[1].view(whole_numbers))


def test_masks_fit_weights_that_lie_channels_last():
    model = nn.Sequential(nn.Conv2d(2, 3, 3)).to(memory_format=torch.channels_last)
    stays = torch.rand(3, 2, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.5
    expected = torch.where(stays, model[0].weight.detach(), 0.0)
    masker(model, {"0.weight": stays}, CPU)()
    assert torch.equal(model[0].weight, expected) and 0 < int(stays.sum()) < stays.numel()


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_step_is_the_one_that_torch_takes_without_its_fast_kernel(optimiser, monkeypatch):
    monkeypatch.setattr(tuning, "mixed_precision", lambda _: nullcontext())
    work, ends = tiny("conv"), []
    for fused in (True, False):
        model = place(work.build(), work.example, CPU)  # channels last: a kernel that ignored it would mix values up
        training = Training(model, work, replace(FAST, optimiser=optimiser), 10, CPU, 0)
        for group in training._optimiser.param_groups:
            assert group["fused"]
            group["fused"] = fused
        list(training.steps(5, {}))
        ends.append(model.state_dict())
    moved = work.build().state_dict()
    for name, tensor in ends[0].items():
        assert torch.allclose(tensor.double(), ends[1][name].double(), rtol=1e-4, atol=1e-5)
    assert any(not torch.allclose(ends[0][name], moved[name], atol=1e-2) for name in moved)


class NoHalf(nn.Module):
    """Has an operation that torch knows in float32 alone."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)
        self.seen: list[torch.dtype] = []

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        logits = self.fc(vectors)
        self.seen.append(logits.dtype)
        if logits.dtype == torch.bfloat16:
            raise RuntimeError("\"something\" not implemented for 'BFloat16'")
        return logits


def test_a_network_that_does_not_run_in_bf16_is_tuned_in_float32(monkeypatch):
    monkeypatch.setattr(tuning, "mixed_precision", lambda _: torch.autocast("cpu", dtype=torch.bfloat16))
    work = workload(lambda: seeded(NoHalf), VECTOR)
    model = work.build()
    assert len(list(tune(model, work, FAST, {}, CPU, 0, every=1))) == 10
    assert model.seen == [torch.bfloat16] + 10 * [torch.float32]


def test_one_that_does_is_tuned_in_bf16_with_weights_in_float32(monkeypatch):
    monkeypatch.setattr(tuning, "mixed_precision", lambda _: torch.autocast("cpu", dtype=torch.bfloat16))
    seen: list[torch.dtype] = []
    work = tiny("mlp")
    model = work.build()
    model[0].register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    list(tune(model, work, FAST, {}, CPU, 0))
    assert set(seen) == {torch.bfloat16} and {p.dtype for p in model.parameters()} == {torch.float32}
