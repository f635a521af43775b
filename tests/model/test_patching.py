"""Whatever is done with a model for a while is undone afterwards, also where an error ends it early."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from pruning.criteria import Magnitude, Taylor, Wanda, unit_scores
from pruning.criteria.calibration import Calibration, captured_inputs
from pruning.criteria.pass_counter import counted
from pruning.evaluation.accuracy import Evaluator, latency_ms
from pruning.evaluation.regression_estimator import dense_reference
from pruning.granularities import Channels, Weights
from pruning.granularities.probing import calls_of
from pruning.layer_sensitivity.incremental_linear import IncrementalLinear, computing_incrementally
from pruning.layer_sensitivity.layer_cuts import CutModel, bytes_of_largest
from pruning.layer_sensitivity.suffix_graph import GraphWalk
from pruning.model.costs import cost_model, costs
from pruning.model.devices import place
from pruning.model.layer_table import layer_table
from pruning.model.patching import (
    copy_modes,
    evaluating,
    hooked,
    own_modes_restored,
    replaced_forwards,
    replaced_parameters,
    training,
)
from pruning.model.surgery import remove_units
from pruning.training.fine_tuning import tune
from pruning.training.tuning import Tuning
from pruning.workload import Workload
from tests.networks import CPU, IMAGE, seeded, workload


class _Broken(Exception):
    """What a forward raises here."""


class Fuse(nn.Module):
    """Passes its input on; once `broken`, raises."""

    broken = False

    def forward(self, values: Tensor) -> Tensor:
        if self.broken:
            raise _Broken
        return values


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5),
        nn.Conv2d(4, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), Fuse(), nn.Linear(5, 3),
    )  # fmt: skip


def mixed(work: Workload) -> nn.Module:
    """In training mode, but for the first BatchNorm, which is frozen."""
    model = work.build().train()
    model[1].eval()
    return model


WORK = workload(lambda: seeded(network), IMAGE, count=64)


def state(model: nn.Module) -> dict[str, object]:
    """All that a temporary change may leave behind."""
    return {
        "modes": [module.training for module in model.modules()],
        "hooks": [
            (list(module._forward_hooks), list(module._forward_pre_hooks), list(module._backward_hooks))
            for module in model.modules()
        ],
        "forwards": [vars(module).get("forward") for module in model.modules()],
        "memory": [parameter.data_ptr() for parameter in model.parameters()],
        "values": [tensor.tolist() for tensor in (*model.parameters(), *model.buffers())],
        "gradients": [parameter.grad for parameter in model.parameters()],
    }


def groups_of(model: nn.Module, granularity: Channels | Weights):
    """The groups of the model as it is before its fuse is blown."""
    return granularity.sorted_out(WORK.build(), WORK.example)[0]


def score(criterion, model: nn.Module) -> None:
    unit_scores(criterion, model, groups_of(model, Channels()), Calibration(WORK, CPU))


def half_removed(model: nn.Module) -> nn.Module:
    groups = groups_of(model, Channels())
    return remove_units(model, WORK.example, groups, {g.name: torch.arange(g.units) % 2 == 0 for g in groups})


def capture(model: nn.Module) -> None:
    with torch.no_grad(), evaluating(model), captured_inputs(model, ["0", "10"], lambda name, inputs: None):
        model(WORK.example)


def count(model: nn.Module) -> None:
    with torch.no_grad(), evaluating(model), counted(model):
        model(WORK.example)


def walk(model: nn.Module) -> None:
    weight = {"4.weight": torch.ones(5, 4, 3, 3, dtype=torch.bool)}
    with evaluating(model):
        found = GraphWalk(model, model, WORK.example).suffix(list(weight), weight)
    if model[9].broken:
        raise _Broken(found)


def cut(model: nn.Module) -> None:
    cutting = CutModel(model)
    cutting.work = model
    groups = groups_of(model, Weights())
    scores = unit_scores(Magnitude(), WORK.build(), groups, Calibration(WORK, CPU))
    dense = WORK.build()
    row = cutting.row(groups[1], scores, (0.5,), GraphWalk(dense, dense, WORK.example), cost_model(dense, WORK.example))
    with torch.no_grad(), evaluating(model), cutting.cut(row, row.cuts[0], exactly=True):
        assert int(model[4].weight.count_nonzero()) == 90
        model(WORK.example)


def compute_incrementally(model: nn.Module) -> None:
    with torch.no_grad(), evaluating(model):
        layer = IncrementalLinear(model[10], {1: torch.ones(3, 5, dtype=torch.bool)})
        with computing_incrementally(model, {"10": layer}, 1):
            assert torch.equal(model[10](torch.ones(1, 5))[0], model[10].bias)
            model(WORK.example)


USERS: dict[str, Callable[[nn.Module], object]] = {
    "evaluation": lambda model: Evaluator(WORK.validation, WORK.task, CPU).evaluate_all(model),
    "the dense reference": lambda model: dense_reference(model, Evaluator(WORK.validation, WORK.task, CPU)),
    "latency": lambda model: latency_ms(model, WORK.example),
    "scores from gradients": partial(score, Taylor()),
    "scores from inputs": partial(score, Wanda()),
    "surgery": half_removed,
    "costs": lambda model: costs(model, WORK.example),
    "the layer table": lambda model: layer_table(model, WORK.example),
    "the memory format": lambda model: place(model, WORK.example, CPU),
    "captured inputs": capture,
    "counted passes": count,
    "recorded calls": lambda model: calls_of(model, WORK.example, ["0", "10"]),
    "bytes of the largest activation": lambda model: bytes_of_largest(model, WORK.example),
    "a suffix of the network": walk,
    "a cut taken back": cut,
    "incremental layers": compute_incrementally,
}


@pytest.mark.parametrize("broken", [False, True], ids=["", "where the network raises"])
@pytest.mark.parametrize("user", USERS)
def test_a_model_of_mixed_modes_comes_back_as_it_was(user, broken):
    model = place(mixed(WORK), WORK.example, CPU)
    model[9].broken = broken
    before = state(model)
    if broken:
        with pytest.raises(Exception):  # noqa: B017  the library puts some of them in words of its own
            USERS[user](model)
    else:
        USERS[user](model)
    assert state(model) == before


def test_tuning_gives_each_module_its_own_mode_back_also_when_it_is_left_or_fails():
    model, tuning = mixed(WORK), Tuning(epochs=1, batch_size=16)
    before = state(model)["modes"]
    list(tune(model, WORK, tuning, {}, CPU, 0))
    assert state(model)["modes"] == before
    left = tune(model, WORK, tuning, {}, CPU, 0, every=1)
    next(left)
    assert all(module.training for module in model.modules())
    left.close()
    assert state(model)["modes"] == before
    model[9].broken = True
    with pytest.raises(_Broken):
        list(tune(model, WORK, tuning, {}, CPU, 0))
    assert state(model)["modes"] == before


def test_the_smaller_network_has_the_modes_of_the_one_it_was_made_of():
    model = mixed(WORK)
    assert state(half_removed(model))["modes"] == state(model)["modes"]


@pytest.mark.parametrize("mode", [evaluating, training, own_modes_restored])
def test_modes_come_back_also_those_that_the_block_sets(mode):
    model = mixed(WORK)
    before = state(model)
    with pytest.raises(_Broken), mode(model):
        assert model.training == (mode is not evaluating)
        assert model[1].training == (mode is training)
        model[4].eval()
        raise _Broken
    assert state(model) == before


def test_modes_are_copied_module_by_module():
    model, copied = mixed(WORK), WORK.build()
    copy_modes(model, copied)
    assert [module.training for module in copied] == [module.training for module in model]
    assert not copied[1].training and copied.training


def test_a_forward_that_was_replaced_before_comes_back():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    mine = vars(model[0])["forward"] = lambda inputs: inputs + 1
    with pytest.raises(_Broken), replaced_forwards({model[0]: lambda x: x * 2, model[1]: lambda x: x * 3}):
        assert model(torch.ones(1)).tolist() == [6]
        raise _Broken
    assert vars(model[0])["forward"] is mine and "forward" not in vars(model[1])


def test_hooks_come_off_also_where_one_cannot_be_put_on():
    model = nn.Sequential(nn.Linear(1, 1))
    with pytest.raises(AttributeError), hooked([(model[0], lambda *_: None)], [(None, lambda *_: None)]):  # type: ignore
        pass
    assert not model[0]._forward_pre_hooks
    called: list[str] = []
    pre, post = (model[0], lambda *_: called.append("before")), (model[0], lambda *_: called.append("after"))
    with hooked([pre], [post]):
        model(torch.ones(1))
    model(torch.ones(1))
    assert called == ["before", "after"]


def test_parameters_are_replaced_not_copied_and_one_that_has_two_names_is_replaced_twice():
    first, second = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
    second.weight = first.weight
    model = nn.Sequential(first, second)
    before = state(model)
    with (
        pytest.raises(_Broken),
        replaced_parameters(model, ["0.weight", "1.weight"], lambda name, values: 2 * values),
    ):
        assert torch.equal(model[1].weight.data, 4 * torch.tensor(before["values"][0]))
        raise _Broken
    assert state(model) == before


def test_parameters_come_back_where_a_replacement_cannot_be_made():
    model = nn.Sequential(nn.Linear(2, 1))
    before = state(model)

    def replace(name: str, values: Tensor) -> Tensor:
        if name == "0.bias":
            raise _Broken
        return values + 1

    with pytest.raises(_Broken), replaced_parameters(model, ["0.weight", "0.bias"], replace):
        pass
    assert state(model) == before
