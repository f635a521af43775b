"""What every regulariser adds to the loss, its slopes worked out by hand, and gates against the paper's formulas."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning.errors import RecipeError
from pruning.granularities import GRANULARITIES
from pruning.model.units import UnitGroup
from pruning.training.loss_terms import Moment
from pruning.training.regularisers import L1, L2, REGULARISERS, BatchNormScale, GroupLasso, HardConcrete, SoftMovement
from pruning.training.regularisers.gates import Gate, Gates
from pruning.training.regularisers.hard_concrete_gate import BETA, GAMMA, ZETA, HardConcreteGate, stretched
from pruning.training.regularisers.histogram import mean_sizes, unit_sizes
from pruning.training.regularisers.movement_gate import MovementGate
from pruning.training.regularisers.penalty import warmed_up
from pruning.workload import Workload
from tests.every_granularity import tiny_for
from tests.networks import CPU, NETWORKS, VECTOR, Tied, seeded, tiny, workload

ACTING = [kind for kind in REGULARISERS if kind != "none"]
GATED = ("hard_concrete", "movement")


def added(penalty, model: nn.Module, step: int = 0, steps: int = 1) -> Tensor:
    return penalty.added(Moment(model, (torch.zeros(1), torch.zeros(1)), torch.zeros(()), step, steps))


def units_of(work: Workload, granularity: str) -> tuple[nn.Module, list[UnitGroup]]:
    model = work.build()
    return model, GRANULARITIES[granularity]().sorted_out(model, work.example)[0]


def line() -> nn.Module:
    """w = [[3, -4], [0, 1]], a norm of scales 2 and -1, and an output layer."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0, -4.0], [0.0, 1.0]]))
        model[1].weight.copy_(torch.tensor([2.0, -1.0]))
    return model.eval()


def slopes(penalty, model: nn.Module, name: str, step: int = 0, steps: int = 1) -> list[list[float]]:
    added(penalty, model, step, steps).backward()
    return model.get_parameter(name).grad.tolist()


def first_layer(granularity: str) -> tuple[nn.Module, list[UnitGroup]]:
    model = line()
    groups, _ = GRANULARITIES[granularity]().sorted_out(model, torch.zeros(1, 2))
    return model, [group for group in groups if group.name == "0"]


def test_l1_pushes_every_weight_by_the_same():
    model, groups = first_layer("weights")
    penalty = L1(strength=0.5).penalty(model, groups)
    assert added(penalty, model).item() == 0.5 * 8
    assert slopes(penalty, model, "0.weight") == [[0.5, -0.5], [0.0, 0.5]]


def test_l2_pushes_every_weight_by_its_size():
    model, groups = first_layer("weights")
    penalty = L2(strength=0.5).penalty(model, groups)
    assert added(penalty, model).item() == 0.25 * 26
    assert slopes(penalty, model, "0.weight") == [[1.5, -2.0], [0.0, 0.5]]


def test_group_lasso_pushes_units_along_their_weights():
    model, groups = first_layer("channels")
    penalty = GroupLasso(strength=0.5).penalty(model, groups)
    assert added(penalty, model).item() == pytest.approx(0.5 * math.sqrt(2) * (5 + 1))
    root = 0.5 * math.sqrt(2)
    expected = torch.tensor([[root * 0.6, root * -0.8], [0.0, root]])
    assert torch.allclose(torch.tensor(slopes(penalty, model, "0.weight")), expected)
    assert penalty.sizes(model)["0"].tolist() == [5.0, 1.0]


def test_group_lasso_of_single_weights_is_l1():
    model, groups = first_layer("weights")
    penalty = GroupLasso(strength=0.5).penalty(model, groups)
    assert slopes(penalty, model, "0.weight") == [[0.5, -0.5], [0.0, 0.5]]


def test_a_unit_that_is_zero_stays_where_it_is():
    model, groups = first_layer("channels")
    model[0].weight.data[1] = 0.0
    assert slopes(GroupLasso().penalty(model, groups), model, "0.weight")[1] == [0.0, 0.0]


def test_network_slimming_pushes_the_scales_of_batchnorm():
    model, groups = first_layer("channels")
    penalty = BatchNormScale(strength=0.5).penalty(model, groups)
    assert added(penalty, model).item() == 0.5 * 3
    assert slopes(penalty, model, "1.weight") == [0.5, -0.5]
    assert model[0].weight.grad is None and penalty.sizes(model)["1"].tolist() == [2.0, 1.0]


@pytest.mark.parametrize("frozen", [False, True])
def test_without_batchnorm_that_learns_it_says_what_to_choose(frozen):
    model, groups = units_of(tiny("conv_bn" if frozen else "mlp"), "channels")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.requires_grad_(False)
    with pytest.raises(RecipeError, match="the network has none that learns: choose regulariser group_lasso"):
        BatchNormScale().penalty(model, groups)


def test_the_strength_rises_on_a_straight_line():
    assert [warmed_up(2.0, 0.5, step, 8) for step in range(8)] == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0]
    assert [warmed_up(2.0, 0.0, step, 2) for step in range(2)] == [2.0, 2.0]
    model, groups = first_layer("weights")
    penalty = L1(strength=1.0, warm_up=1.0).penalty(model, groups)
    assert [added(penalty, model, step, 4).item() for step in range(4)] == [2.0, 4.0, 6.0, 8.0]


@pytest.mark.parametrize("kind", [kind for kind in ACTING if kind not in GATED])
def test_one_that_would_never_act_is_refused(kind):
    with pytest.raises(RecipeError, match=r"regulariser\.epochs is 0 and regulariser\.after_cuts is off"):
        REGULARISERS[kind](epochs=0)
    assert REGULARISERS[kind](epochs=0, after_cuts=True).after_cuts


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("kind", ACTING)
def test_every_regulariser_pushes_units_of_every_granularity(kind, granularity):
    model, groups = units_of(tiny_for(granularity), granularity)
    try:
        penalty = REGULARISERS[kind]().penalty(model, groups)
    except RecipeError as error:
        assert kind == "batchnorm_scale" and "choose" in str(error)
        return
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    value = added(penalty, model)
    assert value.shape == () and value.item() > 0 and value.requires_grad
    sizes = penalty.sizes(model)
    assert all(bool((each >= 0).all() and each.isfinite().all()) for each in sizes.values())
    if kind != "batchnorm_scale":
        assert {name: len(each) for name, each in sizes.items()} == {group.name: group.units for group in groups}
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


# -- gates

ALPHAS = st.floats(-6.0, 6.0)
CONCRETE = HardConcreteGate()
GATES: dict[str, Gate] = {"hard_concrete": CONCRETE, "movement": MovementGate(0.1)}


@given(ALPHAS)
def test_the_chance_to_be_open_is_that_of_the_draws(alpha):
    """The draws below which the gate is 0 end at 1 − P(z ≠ 0): the distribution function of eq. 12."""
    log_alpha = torch.tensor([alpha], dtype=torch.float64)
    edge = 1 - CONCRETE.paid(log_alpha)
    for uniform, is_open in ((edge - 1e-6, False), (edge + 1e-6, True)):
        if 0 < float(uniform) < 1:
            assert bool(stretched(log_alpha, uniform) > 0) == is_open


def test_gates_are_open_as_often_as_the_closed_form_says():
    log_alpha = torch.tensor([-3.0, -1.0, 0.0, 2.0], dtype=torch.float64)
    uniform = torch.rand(200_000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    seen = (stretched(log_alpha, uniform) > 0).double().mean(0)
    expected = [1 / (1 + math.exp(-(a - BETA * math.log(-GAMMA / ZETA)))) for a in log_alpha.tolist()]
    assert torch.allclose(seen, torch.tensor(expected, dtype=torch.float64), atol=4e-3)
    assert torch.allclose(CONCRETE.paid(log_alpha), torch.tensor(expected, dtype=torch.float64))


def test_a_settled_gate_is_closed_open_or_between():
    # eq. 13: σ(log α) · 1.2 − 0.1 is 0 at σ = 1/12 and 1 at σ = 11/12
    log_alpha = torch.tensor([-math.log(11.001), math.log(11.001), 0.0])
    assert CONCRETE.settled(log_alpha).tolist() == [0.0, 1.0, 0.5]
    assert float(CONCRETE.settled(torch.tensor(-math.log(10.9)))) > 0


def test_a_gate_of_movement_is_open_above_its_threshold_and_learns_as_if_it_were_the_score():
    scores = torch.tensor([0.0, -math.log(3.99), -math.log(4.01), -9.0], requires_grad=True)
    gate = MovementGate(0.2)  # σ(S) is 1/5 at S = −ln 4
    made = gate.drawn(scores)
    assert made.tolist() == gate.settled(scores).tolist() == [1.0, 1.0, 0.0, 0.0]
    (made * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert scores.grad.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert gate.sizes(torch.tensor([0.0, -9.0])).tolist() == [0.5, 0.0]
    assert gate.paid(torch.tensor(math.log(3.0))).item() == pytest.approx(0.75)


def test_scores_of_movement_have_the_slopes_of_their_weights_times_the_weights():
    """Sanh 2020: ∂L/∂S = ∂L/∂w′ · w, at closed weights too; and a closed weight itself learns nothing."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0, -4.0], [0.5, 1.0]]))
        model[1].weight.copy_(torch.tensor([[1.0, 2.0]]))
    groups = GRANULARITIES["weights"]().sorted_out(model.eval(), torch.zeros(1, 2))[0]
    gates = Fixed(model, groups, MovementGate(0.1), 2.0, 0.0, 0.05).put({"0": [0.0, -9.0, 0.0, 0.0], "1": [0.0, 0.0]})
    with gates.around(model):
        output = model(torch.tensor([[1.0, 10.0]]))
        (output.sum() + added(gates, model)).backward()
    assert output.item() == 3.0 + 2 * (0.5 + 10.0)
    # the output's slope is 1 · x in the first row and 2 · x in the second; of the penalty 2 · σ′(S) by one value of six
    closed = 2 * math.exp(-9) / (1 + math.exp(-9)) ** 2 / 6
    expected = torch.tensor([3.0 + 1 / 12, -40.0 + closed, 1.0 + 1 / 12, 20.0 + 1 / 12])
    assert torch.allclose(gates._learnt["0"].grad, expected)
    assert model[0].weight.grad.tolist() == [[1.0, 0.0], [2.0, 20.0]]


class Fixed(Gates):
    """Gates that have learnt numbers of one's own."""

    def put(self, values: dict[str, list[float]]) -> "Fixed":
        with torch.no_grad():
            for name, each in self._learnt.items():
                each.copy_(torch.tensor(values[name]))
        return self


def test_slopes_of_gated_weights_and_gates_are_those_of_the_product(monkeypatch):
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    groups = GRANULARITIES["channels"]().sorted_out(model.eval(), torch.zeros(1, 2))[0]
    gates = Fixed(model, groups, CONCRETE, 1.0, 0.0, 0.05).put({"0": [0.2, -0.4]})
    uniform = torch.tensor([0.5, 0.6])
    monkeypatch.setattr(f"{CONCRETE.__module__}._uniform", lambda _: uniform)
    inputs = torch.tensor([[1.0, 2.0], [-1.0, 0.5]])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with gates.around(model):
        loss = model(inputs).square().sum() + added(gates, model)
    loss.backward()
    # the same by automatic differentiation through the products
    log_alpha = torch.tensor([0.2, -0.4], requires_grad=True)
    own = {name: tensor.clone().requires_grad_() for name, tensor in before.items()}
    z = stretched(log_alpha, uniform)
    hidden = (inputs @ (own["0.weight"] * z[:, None]).T + own["0.bias"] * z).relu()
    share = gates._shares["0"]
    ((hidden @ own["2.weight"].T + own["2.bias"]).square().sum() + (share * CONCRETE.paid(log_alpha)).sum()).backward()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])
        assert torch.allclose(parameter.grad, own[name].grad, atol=1e-6), name
    assert torch.allclose(gates._learnt["0"].grad, log_alpha.grad, atol=1e-6)
    assert share.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_closed_gates_are_the_masks_and_open_ones_change_nothing(granularity, kind):
    work = tiny_for(granularity)
    model, groups = units_of(work, granularity)
    values = {group.name: [9.0 if unit % 2 else -9.0 for unit in range(group.units)] for group in groups}
    gates = Fixed(model, groups, GATES[kind], 1.0, 0.0, 0.05).put(values)
    from pruning.model.units import apply_masks, masks_of

    masked = work.build()
    keep = {group.name: torch.arange(group.units) % 2 == 1 for group in groups}
    apply_masks(masked, masks_of(groups, keep, masked))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with gates.judged(model):
        inside = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    gates.finish(model)
    for name, tensor in masked.state_dict().items():
        assert torch.equal(tensor, inside[name]) and torch.equal(tensor, model.state_dict()[name]), name


@pytest.mark.parametrize("name", ["conv_bn", "residual", "conv"])
def test_a_gate_multiplies_what_the_unit_puts_out(name):
    model, groups = units_of(tiny(name), "channels")
    inputs = tiny(name).train.inputs[:8]
    made_by, layer = {"conv_bn": ("0", "1"), "residual": ("conv1", "bn1"), "conv": ("0", "0")}[name]
    group = next(group for group in groups if group.name == made_by)
    alphas = {each.name: [9.0] * each.units for each in groups} | {group.name: [0.0] * group.units}
    gates = Fixed(model, groups, CONCRETE, 1.0, 0.0, 0.05).put(alphas)
    seen: list[Tensor] = []
    with model.get_submodule(layer).register_forward_hook(lambda _m, _i, output: seen.append(output)), torch.no_grad():
        model(inputs)
        with gates.judged(model):
            model(inputs)
    assert torch.allclose(seen[1], 0.5 * seen[0], atol=1e-6)


def test_a_shared_weight_is_gated_once():
    work = workload(lambda: seeded(Tied), VECTOR)
    model, groups = units_of(work, "weights")
    gates = Fixed(model, groups, CONCRETE, 1.0, 0.0, 0.05).put({g.name: [0.0] * g.units for g in groups})
    before = model.first.weight.detach().clone()
    with gates.judged(model):
        assert torch.equal(model.first.weight, 0.5 * before) and model.second.weight is model.first.weight


@pytest.mark.parametrize("made", [HardConcrete, SoftMovement])
@pytest.mark.parametrize("name", NETWORKS)
def test_gates_learn_and_go_on_from_their_state(name, made):
    def trained(steps: int, model: nn.Module, gates: Gates) -> None:
        for step in range(steps):
            torch.manual_seed(step)
            with gates.around(model):
                loss = work.task.loss(model, batch) + added(gates, model, step, steps)
            loss.backward()
            gates.after_step(model)

    work = tiny(name)
    model, groups = units_of(work, "channels")
    batch = (work.train.inputs[:32], work.train.targets[:32])
    gates = made(strength=50.0, learning_rate=0.5).penalty(model, groups)
    first = {group: each.clone() for group, each in gates.sizes(model).items()}
    trained(5, model, gates)
    assert all(bool((each < first[group]).any()) for group, each in gates.sizes(model).items())
    other = made(strength=50.0, learning_rate=0.5).penalty(model, groups)
    other.load(copy.deepcopy(gates.state()))
    for each in (gates, other):
        trained(2, model, each)
    assert all(torch.equal(each, other.sizes(model)[group]) for group, each in gates.sizes(model).items())


# -- what a run says of the sizes


def test_sizes_lie_in_bins_of_a_logarithmic_scale():
    sizes = {"a": torch.tensor([0.0, 1e-9, 0.021, 2.1, 1e9]), "b": torch.tensor([4.1])}
    event = unit_sizes(1, 7, sizes, {"a": 2.0, "b": 4.0})
    # 30 bins over five decades: a hundredth lies 2 decades up, 1 lies 4 decades up
    assert {place: n for place, n in enumerate(event.counts["a"]) if n} == {0: 2, 12: 1, 24: 1, 29: 1}
    assert {place: n for place, n in enumerate(event.counts["b"]) if n} == {24: 1}
    assert (event.round, event.step, event.near_zero) == (1, 7, 2 / 6)


def test_means_are_of_the_dense_units_and_never_zero():
    assert mean_sizes({"a": torch.tensor([1.0, 3.0]), "b": torch.zeros(2)}) == {"a": 2.0, "b": 1.0}


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_the_loss_reaches_gates_and_weights_of_units_of_every_granularity(granularity, kind, monkeypatch):
    work = tiny_for(granularity)
    model, groups = units_of(work, granularity)
    modules = [{**module._parameters} for module in model.modules()]
    at_first = {group.name: [0.0] * group.units for group in groups}
    gates = Fixed(model, groups, GATES[kind], 1.0, 0.0, 0.05).put(at_first)
    monkeypatch.setattr(f"{CONCRETE.__module__}._uniform", lambda each: torch.full_like(each, 0.5))
    model.train()
    with gates.around(model):
        loss = work.task.loss(model, work.train.batch(torch.arange(32), CPU))
    loss.backward()
    for group in groups:
        assert bool(gates._learnt[group.name].grad.any()), group.name
        assert any(bool(model.get_parameter(piece.param).grad.any()) for piece in group.ranked), group.name
    # every module holds its own parameters again
    for module, own in zip(model.modules(), modules, strict=True):
        assert module._parameters.keys() == own.keys()
        assert all(module._parameters[name] is parameter for name, parameter in own.items())
