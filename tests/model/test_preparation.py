import copy
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from pruning.errors import WorkloadError
from pruning.model.devices import place
from pruning.model.preparation import fold, open_model
from tests.networks import CPU, IMAGE, NETWORKS, VECTOR, conv, mlp, seeded, tiny, workload


def pruned_mlp() -> nn.Module:
    model = seeded(mlp)
    prune.l1_unstructured(model[0], "weight", 0.5)
    prune.random_unstructured(model[0], "bias", 0.5)
    return model


def normed(make_norm) -> nn.Module:
    model = seeded(mlp)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old forms are deprecated, which is why people's models still hold them
        make_norm(model[2])
    return model.eval()


FOLDABLE = {
    "prune": pruned_mlp,
    "weight_norm": lambda: normed(weight_norm),
    "spectral_norm": lambda: normed(spectral_norm),
    "parametrized weight_norm": lambda: normed(parametrizations.weight_norm),
    "parametrized spectral_norm": lambda: normed(parametrizations.spectral_norm),
    "parametrized orthogonal": lambda: normed(parametrizations.orthogonal),
}


@pytest.mark.parametrize("name", FOLDABLE)
def test_a_reparametrised_model_becomes_a_plain_one_that_computes_the_same(name):
    model = FOLDABLE[name]()
    inputs = torch.randn(4, 6)
    before = model(inputs).detach()
    fold(model)
    assert model.state_dict().keys() == seeded(mlp).state_dict().keys()
    assert torch.allclose(model(inputs), before, atol=1e-6)
    assert {name for name, _ in model.named_parameters()} == set(model.state_dict())
    copy.deepcopy(model).load_state_dict(model.state_dict())


@pytest.mark.parametrize("name", FOLDABLE)
def test_a_reparametrised_model_is_opened(name):
    model = open_model(workload(FOLDABLE[name], VECTOR), CPU)
    assert type(model[2]) is nn.Linear and isinstance(model[2].weight, nn.Parameter)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_folding_a_plain_model_changes_nothing():
    model, plain = seeded(NETWORKS["residual"][0]), seeded(NETWORKS["residual"][0])
    fold(model)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), plain.state_dict().values(), strict=True))


def test_a_build_that_gives_the_same_module_each_time_does_not_see_it_changed():
    only = seeded(mlp)
    opened = open_model(workload(lambda: only, VECTOR), CPU)
    opened[0].weight.data.zero_()
    assert only[0].weight.count_nonzero() == 30


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused_by_name(bad):
    def build() -> nn.Module:
        model = seeded(mlp)
        model[2].weight.data[0, :2] = bad
        return model

    with pytest.raises(WorkloadError, match=r"2\.weight holds 2 values that are NaN or infinite"):
        open_model(workload(build, VECTOR), CPU)


class Hidden(nn.Module):
    """A buffer is added to the scores before a softmax. Vectors [b, 6] to [b, 3]."""

    def __init__(self, added: list[float]) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)
        self.register_buffer("added", torch.tensor(added))

    def forward(self, vectors: Tensor) -> Tensor:
        return (self.fc(vectors) + self.added).softmax(dim=1)


def test_a_mask_of_minus_infinity_is_no_damage_but_other_values_beside_it_are():
    assert open_model(workload(lambda: Hidden([0.0, -torch.inf, 0.0]), VECTOR), CPU).added[1] == -torch.inf
    for damaged in ([0.0, -torch.inf, 0.5], [0.0, torch.inf, 0.0], [0.0, torch.nan, -torch.inf]):
        with pytest.raises(WorkloadError, match=r"added holds . values? that are NaN or infinite"):
            open_model(workload(lambda added=damaged: Hidden(added), VECTOR), CPU)


def test_norm_statistics_that_are_not_finite_are_refused_by_name():
    def build() -> nn.Module:
        model = seeded(NETWORKS["conv_bn"][0])
        model[1].running_var[0] = torch.nan
        return model

    with pytest.raises(WorkloadError, match=r"1\.running_var"):
        open_model(workload(build, IMAGE), CPU)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_a_quantised_model_is_refused_with_a_way_out():
    def build() -> nn.Module:
        return torch.ao.quantization.quantize_dynamic(seeded(mlp), {nn.Linear}, dtype=torch.qint8)

    with pytest.raises(WorkloadError, match=r"quantised .* use the float model"):
        open_model(workload(build, VECTOR), CPU)


def test_a_build_that_raises_says_what_it_raised():
    def build() -> nn.Module:
        raise KeyError("weights.pt")

    with pytest.raises(WorkloadError, match=r"tiny: building the model failed \(KeyError: 'weights.pt'\)"):
        open_model(workload(build, VECTOR), CPU)


@pytest.mark.parametrize("build", [lambda: nn.Linear(6, 3), lambda: {"weights": 1}], ids=["one layer", "no module"])
def test_what_is_no_network_of_layers_is_refused(build):
    with pytest.raises(WorkloadError, match=r"return an nn\.Module, a single layer wrapped in nn\.Sequential"):
        open_model(workload(build, VECTOR), CPU)


def test_an_example_that_does_not_fit_is_named_by_its_shape():
    with pytest.raises(WorkloadError, match=r"does not run on its example of shape \[1, 5\]"):
        open_model(workload(lambda: seeded(mlp), (5,)), CPU)


def test_a_model_that_returns_more_than_a_tensor_is_refused():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 3)

        def forward(self, vectors):
            return self.fc(vectors), vectors

    with pytest.raises(WorkloadError, match="the model returns a tuple; return one tensor"):
        open_model(workload(lambda: seeded(Two), VECTOR), CPU)


def test_an_empty_split_is_named():
    with pytest.raises(WorkloadError, match="its train split is empty"):
        open_model(tiny("mlp", count=0), CPU)


def test_the_model_comes_in_eval_mode():
    assert not open_model(workload(lambda: seeded(mlp).train(), VECTOR), CPU).training


def test_convolutions_are_laid_out_channels_last():
    assert open_model(tiny("conv"), CPU)[3].weight.is_contiguous(memory_format=torch.channels_last)


class Viewing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = conv()[0]
        self.fc = nn.Linear(256, 3)

    def forward(self, images):
        return self.fc(self.conv(images).view(-1, 256))


def test_a_network_that_views_its_images_is_left_as_it_is():
    model = place(seeded(Viewing), torch.zeros(1, *IMAGE), CPU)
    assert model(torch.zeros(3, *IMAGE)).shape == (3, 3)
    assert open_model(workload(lambda: seeded(Viewing), IMAGE), CPU).conv.weight.is_contiguous()


class InGroups(nn.Module):
    """A view that takes the images of one sample channels last, and not those of two."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = conv()[0], nn.Linear(4, 3)

    def forward(self, images):
        maps = self.conv(images)
        groups = maps.view(2 * len(maps), 2, *maps.shape[2:])
        return self.fc(groups.amax(dim=(2, 3)).view(-1, 4))


class Volumes(nn.Module):
    """A convolution over volumes beside one over images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.volume, self.fc = conv()[0], nn.Conv3d(4, 2, 1), nn.Linear(2, 3)

    def forward(self, images):
        return self.fc(self.volume(self.conv(images).unsqueeze(2)).mean(dim=(2, 3, 4)))


@pytest.mark.parametrize("made", [InGroups, Volumes])
def test_networks_that_no_batch_can_go_through_channels_last_are_left_as_they_are(made):
    model = place(seeded(made), torch.zeros(1, *IMAGE), CPU)
    assert model.conv.weight.is_contiguous() and model(torch.zeros(3, *IMAGE)).shape == (3, 3)


def test_a_parametrised_model_that_is_built_once_is_opened_twice():
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)), nn.ReLU(), nn.Linear(4, 3))
    work = workload(lambda: model, VECTOR)
    first, second = open_model(work, CPU), open_model(work, CPU)
    assert torch.equal(first[0].weight, second[0].weight) and torch.equal(first[0].weight, model[0].weight)
