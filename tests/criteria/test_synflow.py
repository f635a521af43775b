import pytest
import torch
from torch import nn

from pruning.criteria import Synflow, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.errors import RecipeError, WorkloadError
from pruning.granularities import Channels, Weights
from pruning.model.preparation import open_model
from tests.criteria.by_hand import calibration, one_layer, scored, two_layers
from tests.networks import CPU, NETWORKS, seeded, tiny, workload

DATA = calibration([1.0, 2.0])


def test_one_round_is_the_flow():
    # |W| = (3, 1), (0, 2), (1, 1) and |v| = (5, .5, 6); ones give h = (4, 2, 2): R = 20 + 1 + 12
    scores = scored(Synflow(rounds=1), Weights(), DATA)
    assert scores == {"0": pytest.approx([15, 5, 0, 1, 6, 6]), "2": pytest.approx([20, 1, 12])}
    # what flows through a layer flows through every other
    assert sum(scores["0"]) == pytest.approx(33) and sum(scores["2"]) == pytest.approx(33)
    assert scored(Synflow(rounds=1), Channels(), DATA)["0"] == pytest.approx([15 + 5, 1, 6 + 6])


def test_a_second_round_looks_again_at_what_is_left():
    model = two_layers()
    model[2].weight.data[0, 2] = -16.0
    # flows: W 15, 5, 0, 1, 16, 16 and v 20, 1, 32. Of 9 weights 9^½ = 3 stay: W[2, 1], v[0] and v[2]; at 1 and at 16
    # ties are pruned by position. Then only W[2, 1] · v[2] flows: v[0] is pruned before W[2, 1], which is pruned before
    # v[2]
    places = scored(Synflow(rounds=2), Weights(), DATA, model)
    assert places == {
        "0": pytest.approx([5 / 9, 4 / 9, 1 / 9, 2 / 9, 6 / 9, 8 / 9]),
        "2": pytest.approx([7 / 9, 3 / 9, 1]),
    }
    flow = scored(Synflow(rounds=1), Weights(), DATA, model)
    assert flow["2"][0] > flow["0"][5]  # looked at once, v[0] would stay longer


def test_in_every_round_ties_are_pruned_by_position():
    # 1 -> 1 -> (3, 2): flows 5 and 3, 2. Of 3 weights 3^½ = 2 stay, the 5 and the 3; then both flow 3
    model = nn.Sequential(*one_layer([1.0]), *one_layer([3.0], [2.0]))
    assert scored(Synflow(rounds=2), Weights(), calibration([1.0]), model) == {
        "0": pytest.approx([2 / 3]),
        "1": pytest.approx([1, 1 / 3]),
    }


def test_once_a_layer_is_empty_the_last_flow_decides():
    # flows 10; 6, 4; 6, 4. Of 5 weights 5^½ = 2 stay: of the two with 6 the first is pruned, and with it its whole
    # layer
    model = nn.Sequential(*one_layer([1.0]), *one_layer([6.0], [4.0]), *one_layer([1.0, 1.0]))
    assert scored(Synflow(rounds=2), Weights(), calibration([1.0]), model) == {
        "0": pytest.approx([1]),
        "1": pytest.approx([3 / 5, 1 / 5]),
        "2": pytest.approx([4 / 5, 2 / 5]),
    }


def test_biases_flow_and_running_means_do_not():
    model = nn.Sequential(*one_layer([-2.0]), nn.BatchNorm1d(1, eps=1e-30), *one_layer([-5.0])).eval()
    model[0].bias = nn.Parameter(torch.tensor([-1.0]))
    model[1].weight.data.fill_(-2.0)
    model[1].bias.data.fill_(3.0)
    model[1].running_mean.fill_(7.0)
    model[1].running_var.fill_(4.0)
    # eps changes no float32; torch 2.11 refuses 0
    # 1 -> 2 + 1 = 3 -> 3 / √4 · 2 + 3 = 6 -> 5 · 6; dR/dw = 1 / √4 · 2 · 5
    assert scored(Synflow(rounds=1), Weights(), calibration([1.0]), model) == {
        "0": pytest.approx([2 * 5.0]),
        "2": pytest.approx([30.0]),
    }


def reference(model: nn.Module, names: list[str], shape: tuple[int, ...], keep: float, rounds: int) -> torch.Tensor:
    """Which weights stay, as in the authors' code: each round scores anew and keeps the highest of all keep^(k/n)."""
    model = model.double()
    for parameter in model.parameters():
        parameter.data.abs_()
    for name, buffer in model.named_buffers():
        if "running_mean" in name:
            buffer.zero_()
    weights = [model.get_parameter(name) for name in names]
    masks = [torch.ones_like(weight) for weight in weights]
    for k in range(1, rounds + 1):
        slopes = torch.autograd.grad(model(torch.ones(1, *shape, dtype=torch.float64)).sum(), weights)
        scores = torch.cat([(w.detach() * g).abs().flatten() for w, g in zip(weights, slopes, strict=True)])
        stay = round(keep ** (k / rounds) * len(scores))
        flat = torch.zeros_like(scores)
        flat[scores.argsort(stable=True, descending=True)[:stay]] = 1
        masks = [m.reshape(w.shape) for m, w in zip(flat.split([w.numel() for w in weights]), weights, strict=True)]
        for weight, mask in zip(weights, masks, strict=True):
            weight.data *= mask
    return torch.cat([mask.flatten() for mask in masks]).bool()


@pytest.mark.parametrize("done", [3, 6, 8])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_ranking_is_iterative_synflow_at_every_round(network, done):
    rounds = 10
    work = tiny(network)
    model = open_model(work, CPU)
    groups = Weights().sorted_out(model, work.example)[0]
    places = torch.cat(list(unit_scores(Synflow(rounds), model, groups, Calibration(work, CPU)).values()))
    names = [group.params[0] for group in groups]
    count = len(places)
    stays = reference(model, names, NETWORKS[network][1], count ** (-done / rounds), done)
    ours = torch.zeros(count, dtype=torch.bool)
    ours[places.argsort(descending=True)[: int(stays.sum())]] = True
    assert 1 < int(stays.sum()) < count and torch.equal(ours, stays)


@pytest.mark.parametrize("granularity", [Weights(), Channels()])
@pytest.mark.parametrize("network", NETWORKS)
def test_places_are_all_different_and_end_at_one(network, granularity):
    work = tiny(network)
    model = open_model(work, CPU)
    groups = granularity.sorted_out(model, work.example)[0]
    places = torch.cat(list(unit_scores(Synflow(), model, groups, Calibration(work, CPU)).values()))
    expected = torch.arange(1, len(places) + 1) / len(places)
    assert torch.allclose(places.sort().values, expected)


def test_a_pruned_weight_comes_first():
    work = tiny("mlp")
    model = open_model(work, CPU)
    model[2].weight.data[0, 0] = 0.0
    groups = Weights().sorted_out(model, work.example)[0]
    scores = unit_scores(Synflow(), model, groups, Calibration(work, CPU))
    assert float(scores["2"][0]) == pytest.approx(1 / sum(group.units for group in groups))


def places_of_each_layers_best(rounds: int) -> list[int]:
    """From the end (0 is the last weight to be pruned), in a network without biases whose layers are of very unlike
    size.
    """
    layers = [nn.Linear(6, 40, bias=False), nn.Linear(40, 40, bias=False), nn.Linear(40, 1, bias=False)]
    work = workload(lambda: seeded(lambda: nn.Sequential(*layers)), (6,))
    model = work.build()
    groups = Weights().sorted_out(model, work.example)[0]
    scores = unit_scores(Synflow(rounds), model, groups, Calibration(work, CPU))
    every = torch.cat(list(scores.values()))
    return sorted(int((every > values.max()).sum()) for values in scores.values())


def test_many_rounds_empty_no_layer_before_they_must():
    # every layer carries the same flow: as long as three weights are left they are a path through all three layers
    assert places_of_each_layers_best(rounds=100) == [0, 1, 2]
    # looked at once, the largest layer has shared out its flow to many and is gone first
    assert places_of_each_layers_best(rounds=1)[-1] > 20


def test_a_channel_that_is_pruned_takes_the_flow_of_those_that_feed_it():
    # neuron 0 of the first layer flows 1 · (1 · 9 + 2 · 1) = 11, neuron 1 flows 1 · 10 · 1 = 10; in the next layer
    # neuron 0 flows 1 · 9 = 9 and neuron 1 flows (2 + 10) · 1 = 12
    model = nn.Sequential(*one_layer([1.0], [1.0]), *one_layer([1.0, 0.0], [2.0, 10.0]), *one_layer([9.0, 1.0]))
    assert scored(Synflow(rounds=1), Channels(), calibration([1.0]), model) == {"0": [11, 10], "1": [9, 12]}
    # after rounds 1, 2, 3 of 4 stay 4 ** (1 - k / 4) = 3, 2, 1: without the 9 neuron 0 of the first layer flows 2 and
    # is pruned before neuron 1; one path of 10 is left, and ties are pruned by position
    assert scored(Synflow(rounds=4), Channels(), calibration([1.0]), model) == {"0": [0.5, 0.75], "1": [0.25, 1.0]}


def test_whole_numbers_are_no_input_of_ones():
    work = workload(lambda: nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 3)), (2,))
    work.example.data = torch.zeros(1, 2, dtype=torch.long)
    model = work.build()
    with pytest.raises(RecipeError, match="takes whole numbers; use snip"):
        unit_scores(Synflow(), model, Weights().sorted_out(model, work.example)[0], Calibration(work, CPU))


def test_a_norm_that_makes_ones_zero_is_a_sentence():
    model = nn.Sequential(nn.LayerNorm(2), *one_layer([1.0, 2.0]), nn.ReLU(), *one_layer([3.0]))
    with pytest.raises(WorkloadError, match=r"nothing flows from an input of ones .*LayerNorm.* such as snip"):
        scored(Synflow(), Weights(), DATA, model)


def chain(length: int) -> nn.Module:
    """Layers of one weight, 1e30 each."""
    return nn.Sequential(*[layer for _ in range(length) for layer in one_layer([1e30])])


def test_a_flow_beyond_float32_still_ranks_and_one_beyond_float64_is_a_sentence():
    places = scored(Synflow(rounds=2), Weights(), calibration([1.0]), chain(10))
    assert [value for (value,) in places.values()] == pytest.approx([place / 10 for place in range(1, 11)])
    with pytest.raises(WorkloadError, match="the flow is not finite"):
        scored(Synflow(), Weights(), calibration([1.0]), chain(11))


def test_a_network_that_insists_on_single_precision_is_a_sentence():
    class Single(nn.Module):
        def forward(self, inputs):
            return inputs.float()

    with pytest.raises(WorkloadError, match="does not run in double precision"):
        scored(Synflow(), Weights(), DATA, nn.Sequential(Single(), *one_layer([1.0, 2.0])))


@pytest.mark.parametrize("rounds", [0, 101])
def test_rounds_have_their_range(rounds):
    with pytest.raises(RecipeError, match=r"criterion\.rounds is"):
        Synflow(rounds)


def test_the_same_network_in_half_the_precision_scores_the_same():
    work = tiny("conv_bn")
    model = seeded(NETWORKS["conv_bn"][0]).half()
    groups = Weights().sorted_out(model, work.example)[0]
    half = unit_scores(Synflow(1), model, groups, Calibration(work, CPU))
    whole = unit_scores(Synflow(1), model.float(), groups, Calibration(work, CPU))
    assert all(torch.equal(half[name], whole[name]) for name in half)
