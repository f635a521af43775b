import pytest
import torch
from torch import Tensor, nn

from pruning.criteria import gradients as derivatives
from pruning.criteria.calibration import Calibration
from pruning.criteria.gradients import (
    all_weights,
    fisher_diagonal,
    gradients,
    hessian_product,
    mean_gradients,
    mean_hessian_product,
    ranked_params,
    squared_gradients,
    summed_at_once,
    summed_one_by_one,
)
from pruning.granularities import Channels, Weights
from tests.criteria.by_hand import HALVED, SQUARED, Attentive, Recurrent, one_layer, two_layers
from tests.networks import CPU, NETWORKS, seeded, tiny, workload

OTHERS = {"recurrent": (Recurrent, (4, 3)), "attentive": (Attentive, (5, 4))}
ALL = NETWORKS | OTHERS


def opened(network: str, count: int = 12):
    """A network, all its weights that can be pruned, and its workload."""
    make, shape = ALL[network]
    work = workload(lambda: seeded(make), shape, count=count)
    model = work.build()
    return model, all_weights(model, []), work


def close(one: dict, other: dict, rel: float = 1e-5) -> bool:
    """Whether two dicts of tensors agree, each tensor to `rel` of its largest value."""
    scales = {name: float(other[name].abs().max()) + 1e-12 for name in other}
    return one.keys() == other.keys() and all(
        float((one[name] - other[name]).abs().max()) < rel * scales[name] for name in one
    )


def test_gradients_by_hand():
    batch = torch.tensor([[1.0, 2.0]]), torch.zeros(1)
    found = gradients(two_layers(), ["2.weight", "0.weight"], batch, HALVED)
    assert {name: value.tolist() for name, value in found.items()} == {
        "2.weight": [[0.5, 2.0, 0.0]],
        "0.weight": [[2.5, 5.0], [0.25, 0.5], [0.0, 0.0]],
    }


def test_a_weight_that_the_loss_does_not_depend_on_has_gradient_zero():
    model = nn.Sequential(*one_layer([3.0]))
    model.aside = nn.Linear(2, 2)
    model.forward = lambda inputs: model[0](inputs)
    batch = torch.tensor([[2.0]]), torch.zeros(1)
    names = ["0.weight", "aside.weight"]
    assert gradients(model, names, batch, SQUARED)["aside.weight"].tolist() == [[0, 0], [0, 0]]
    vectors = {"0.weight": torch.ones(1, 1), "aside.weight": torch.ones(2, 2)}
    assert hessian_product(model, vectors, batch, SQUARED)["aside.weight"].tolist() == [[0, 0], [0, 0]]
    assert squared_gradients(model, names, batch, SQUARED)["aside.weight"].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("network", [*NETWORKS, "attentive"])
def test_all_samples_at_once_and_one_by_one_are_the_same(network):
    model, names, work = opened(network)
    batch = work.train.batch(torch.arange(12), CPU)
    at_once = summed_at_once(model, names, batch, work.task)
    one_by_one = summed_one_by_one(model, names, batch, work.task)
    assert all(bool((value > 0).any()) for value in one_by_one.values())
    assert close(at_once, one_by_one, 1e-6)


def test_recurrent_layers_are_taken_one_by_one():
    model, names, work = opened("recurrent")
    batch = work.train.batch(torch.arange(12), CPU)
    with pytest.raises(RuntimeError):
        summed_at_once(model, names, batch, work.task)
    expected = summed_one_by_one(model, names, batch, work.task)
    assert close(squared_gradients(model, names, batch, work.task), {n: v / 12 for n, v in expected.items()})


def test_gradients_held_at_once_are_bounded(monkeypatch):
    model, names, work = opened("mlp")
    batch = work.train.batch(torch.arange(12), CPU)
    whole = squared_gradients(model, names, batch, work.task)
    taken = []

    def watched(model, names, batch, task):
        taken.append(len(batch[0]))
        return summed_at_once(model, names, batch, task)

    monkeypatch.setattr(derivatives, "summed_at_once", watched)
    monkeypatch.setattr(derivatives, "VALUES", 5 * (30 + 20 + 12) + 3)  # the weights of five samples and a bit
    assert close(squared_gradients(model, names, batch, work.task), whole)
    assert taken == [5, 5, 2]


def test_means_are_over_samples_also_where_the_last_batch_is_smaller():
    model, names, work = opened("mlp", count=50)
    parts, whole = (Calibration(work, CPU, batch=batch) for batch in (16, 50))
    assert close(mean_gradients(model, names, parts), mean_gradients(model, names, whole))
    assert close(fisher_diagonal(model, names, parts), fisher_diagonal(model, names, whole))
    vectors = mean_gradients(model, names, whole)
    products = [mean_hessian_product(model, vectors, data) for data in (parts, whole)]
    assert close(*products)
    assert not close(fisher_diagonal(model, names, whole), {n: v.square() for n, v in vectors.items()}, 0.1)


@pytest.mark.parametrize("network", ["mlp", "recurrent", "attentive"])
def test_a_hessian_product_is_how_gradients_change_along_the_vector(network):
    model, names, work = opened(network)
    model.double()
    inputs, targets = work.train.batch(torch.arange(12), CPU)
    batch = inputs.double(), targets
    drawn = torch.Generator().manual_seed(5)
    vectors = {n: torch.randn(model.get_parameter(n).shape, generator=drawn, dtype=torch.float64) for n in names}
    product = hessian_product(model, vectors, batch, work.task)

    def slopes(step: float) -> dict[str, torch.Tensor]:
        for name in names:
            model.get_parameter(name).data.add_(vectors[name], alpha=step)
        found = torch.autograd.grad(work.task.loss(model, batch), [model.get_parameter(n) for n in names])
        for name in names:
            model.get_parameter(name).data.sub_(vectors[name], alpha=step)
        return dict(zip(names, found, strict=True))

    ahead, behind = slopes(1e-5), slopes(-1e-5)
    assert close(product, {n: ((ahead[n] - behind[n]) / 2e-5).float() for n in names}, 1e-4)


def test_a_loss_that_is_linear_in_the_weights_has_no_curvature():
    batch = torch.tensor([[1.0, 2.0]]), torch.zeros(1)
    product = hessian_product(one_layer([3.0, 4.0]), {"0.weight": torch.ones(1, 2)}, batch, HALVED)
    assert product["0.weight"].tolist() == [[0, 0]]


@pytest.mark.parametrize("network", ALL)
def test_nothing_is_left_behind(network):
    model, names, work = opened(network)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    parameters = dict(model.named_parameters())
    flags = torch.backends.cudnn.enabled, torch.backends.mkldnn.enabled, torch.backends.cuda.flash_sdp_enabled()
    data = Calibration(work, CPU)
    mean_hessian_product(model, mean_gradients(model, names, data), data)
    fisher_diagonal(model, names, data)
    assert flags == (
        torch.backends.cudnn.enabled,
        torch.backends.mkldnn.enabled,
        torch.backends.cuda.flash_sdp_enabled(),
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameters[name] is parameter for name, parameter in model.named_parameters())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in parameters.values())


def test_scores_under_no_grad_are_the_same():
    model, names, work = opened("mlp")
    data = Calibration(work, CPU)
    slopes = mean_gradients(model, names, data)
    with torch.no_grad():
        assert close(mean_gradients(model, names, data), slopes, 1e-9)
        assert any(bool(value.any()) for value in mean_hessian_product(model, slopes, data).values())
        assert all(bool(value.any()) for value in fisher_diagonal(model, names, data).values())


def test_names():
    work = tiny("residual")
    model = work.build()
    channels = Channels().sorted_out(model, work.example)[0]
    weights = Weights().sorted_out(model, work.example)[0]
    assert ranked_params(weights) == [group.params[0] for group in weights]
    assert ranked_params(channels)[:2] == ["stem.weight", "conv2.weight"]  # one group
    assert sorted(all_weights(model, channels)) == sorted(ranked_params(weights))


class Twice(nn.Module):
    """One layer under two names, and one weight in two layers. Vectors [b, 6] to logits [b, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(6, 6)
        self.same = self.one
        self.tied = nn.Linear(6, 6)
        self.tied.weight = self.one.weight
        self.head = nn.Linear(6, 3)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.head(torch.relu(self.tied(torch.relu(self.same(torch.relu(self.one(vectors)))))))


def test_a_layer_with_two_names_and_a_tied_weight_are_differentiated_and_left_whole():
    work = workload(lambda: seeded(Twice), (6,), count=32)
    model = seeded(Twice)
    names = ["one.weight", "head.weight"]
    batch = work.train.batch(torch.arange(8), torch.device("cpu"))
    at_once = summed_at_once(model, names, batch, work.task)
    one_by_one = summed_one_by_one(model, names, batch, work.task)
    for name in names:
        assert torch.allclose(at_once[name], one_by_one[name], rtol=1e-4, atol=1e-7)
    assert isinstance(model.one.weight, nn.Parameter) and model.same is model.one
    assert model.tied.weight is model.one.weight
