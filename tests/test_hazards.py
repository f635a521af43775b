"""What goes wrong when networks are pruned elsewhere, and what must happen here: a test for each known hazard."""

import copy
import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, weight_norm

from pruning.criteria import Activation, Apoz, Criterion, Magnitude, Taylor, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.errors import RecipeError, SurgeryError, WorkloadError
from pruning.events import Event, Masked, SurgeryChecked, Warned
from pruning.exporters import Record, export
from pruning.exporters.loading import load_network
from pruning.exporters.reading import read_own_network
from pruning.granularities import Channels, Granularity, Weights
from pruning.interactive.queries import look
from pruning.interactive.session import PreviewSession
from pruning.model.layer_table import layer_table, prunable_weights
from pruning.model.preparation import open_model
from pruning.model.surgery import remove_units
from pruning.model.units import Slice, Tiles, UnitGroup, apply_masks, masks_of
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Amount, PerLayer, Sparsity, Threshold
from pruning.selection.ranking import position, rank, select
from pruning.selection.scopes import Global, Scope, WithinLayer
from pruning.training.schedules import Linear
from pruning.training.tuning import Tuning
from pruning.workload import TensorSplit, Workload
from tests.architectures import Encoder, GroupNormed, LSTMClassifier
from tests.networks import (
    CPU,
    IMAGE,
    NETWORKS,
    VECTOR,
    Residual,
    carried_out,
    conv_bn,
    depthwise,
    mlp,
    samples,
    seeded,
    tiny,
    workload,
)

CUT_ONLY = Tuning(epochs=0)
QUICK = Tuning(epochs=2, batch_size=64, learning_rate=0.02)
BOTH = pytest.mark.parametrize("scope", [Global(), WithinLayer()], ids=["global", "layer"])


def of_type(events: list[Event], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def scores_of(criterion: Criterion, model: nn.Module, work: Workload, granularity: Granularity) -> dict[str, Tensor]:
    groups = granularity.sorted_out(model, work.example)[0]
    return unit_scores(criterion, model, groups, Calibration(work, CPU))


def single_weights(scores: dict[str, Tensor]) -> list[UnitGroup]:
    return [UnitGroup(name, (name,), (len(s),), (Tiles(f"{name}.weight"),)) for name, s in scores.items()]


@BOTH
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7])
def test_ties_at_the_cut(scope: Scope, share: float):
    """A threshold mask gives 70 % or 30 % for an asked 50 %; torch-pruning's global scope prunes nothing, silently."""

    def build() -> nn.Module:
        model = seeded(NETWORKS["conv"][0])
        for weight in prunable_weights(model):
            weight.module.weight.data = weight.module.weight.data.sign() * 0.5  # all of them as important
        return model

    recipe = Recipe("m", Magnitude(), Weights(), scope, Sparsity(share), tuning=CUT_ONLY)
    (events, one), (_, two) = (carried_out(workload(build, IMAGE), recipe) for _ in range(2))
    sizes = [312] if scope == Global() else [72, 180, 60]
    (masked,) = of_type(events, Masked)
    assert masked.pruned == masked.asked == sum(round(share * size) for size in sizes)
    assert all(torch.equal(one.keep[name], two.keep[name]) for name in one.keep)
    if scope == WithinLayer():
        for name, stays in one.keep.items():  # by position: the first ones
            pruned = round(share * len(stays))
            assert not stays[:pruned].any() and stays[pruned:].all(), name


@BOTH
def test_threshold(scope: Scope):
    """Keep what is equal to it, drop what is below."""
    scores = {"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.tensor([2.0, 1.99999999, 2.5])}
    amount = Threshold(2.0)
    keep = select(rank(single_weights(scores), scores, scope, amount), amount)
    assert keep["a"].tolist() == [False, True, True]
    assert float(scores["b"][1]) == 2.0 and keep["b"].all()  # there is no such number in float32


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_nan_and_infinite_weights(bad: float):
    """NaN is never pruned elsewhere, and a pruned NaN × 0 is NaN."""

    def build() -> nn.Module:
        model = seeded(mlp)
        model[2].weight.data[0, 0] = bad
        return model

    with pytest.raises(WorkloadError, match=r"the tensor 2\.weight holds 1 values that are NaN or infinite"):
        carried_out(workload(build, VECTOR), Recipe("m", tuning=CUT_ONLY))
    model = build()
    apply_masks(model, {"2.weight": torch.arange(20).reshape(4, 5) > 0})
    assert model[2].weight[0, 0] == 0.0 and bool(model[2].weight.isfinite().all())


@BOTH
@pytest.mark.parametrize("amount", [Sparsity(1.0), Threshold(1e9)], ids=["sparsity", "threshold"])
def test_layer_collapse(amount: Amount, scope: Scope):
    """A layer may only die when it is asked for by name; else one unit stays, and the run says so."""
    events, result = carried_out(tiny("mlp"), Recipe("m", scope=scope, amount=amount, tuning=CUT_ONLY))
    assert [int(stays.sum()) for stays in result.keep.values()] == [1, 1, 1]
    (warned,) = of_type(events, Warned)
    assert "62 units were asked to be pruned and 59 were, because every layer keeps at least one" in warned.sentence
    by_name = Recipe("m", scope=scope, amount=PerLayer({"2": 1.0}), tuning=CUT_ONLY)
    events, result = carried_out(tiny("mlp"), by_name)
    assert not result.keep["2"].any() and not result.model[2].weight.any() and not of_type(events, Warned)


def test_weights_that_are_already_zero():
    """The mask says 50 % and the network holds more zeros: both are shown."""

    def build() -> nn.Module:
        model = seeded(mlp)
        model[0].bias.data.zero_()
        model[0].weight.data[0] = 0.0
        return model

    lab = PreviewSession({"zeros": lambda: workload(build, VECTOR)}, CPU)
    seen = look(lab, Recipe("zeros", amount=Sparsity(0.5)), "score")
    # 6 zero weights are the first of the 31 that are pruned; the 5 zero biases come on top
    assert (seen.zero_before, seen.pruned, seen.units, seen.parameters) == (11, 31, 62, 74)
    assert seen.nonzero == 74 - 31 - 5


def test_tiny_layers():
    """10 % of 3 is nothing: what was achieved stands beside what was asked."""
    scores = {"tiny": torch.tensor([1.0, 2.0, 3.0]), "wide": torch.arange(20.0)}
    where = position(rank(single_weights(scores), scores, WithinLayer(), Sparsity(0.1)), Sparsity(0.1))
    assert [(share.pruned, share.kept) for share in where.shares] == [(0, 1.0), (2, 0.9)]
    assert (where.asked, where.pruned, where.units) == (2, 2, 23)


class TiedWords(nn.Module):
    """Three words, one of which is to be found: the head's weight is the embedding's. Ids [b, 4] to logits [b, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.hidden, self.head = nn.Embedding(3, 6), nn.Linear(6, 6), nn.Linear(6, 3, bias=False)
        self.head.weight = self.words.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(F.relu(self.hidden(self.words(ids).mean(dim=1))))


def tied_words() -> Workload:
    ids = torch.randint(3, (90, 4), generator=torch.Generator().manual_seed(0))
    split = TensorSplit(ids, ids.mode(dim=1).values)
    plain = workload(lambda: seeded(TiedWords), (4,))
    return Workload("tied", plain.build, ids[:1], split, split, split, plain.task)


def test_tied_embedding_and_head(tmp_path: Path):
    """Counted twice elsewhere, and the tie is silently broken: here it is one group, and the tie survives an export."""
    work = tied_words()
    _, result = carried_out(work, Recipe("m", amount=Sparsity(0.5), schedule=Linear(2), tuning=QUICK))
    assert {name: len(stays) for name, stays in result.keep.items()} == {"words": 18, "hidden": 36}
    assert result.model.head.weight is result.model.words.weight
    assert result.stages["dense"].parameters == 18 + 36 + 6
    zeros = int((result.model.words.weight == 0).sum()) + int((result.model.hidden.weight == 0).sum())
    assert zeros == sum(int((~stays).sum()) for stays in result.keep.values()) == 27
    path = export("safetensors", Record(work, Recipe("m"), result.model, "cpu", (), result.sizes, work), tmp_path)
    tensors = load_file(path)
    assert torch.equal(tensors["head.weight"], tensors["words.weight"])
    loaded = load_network(work, read_own_network(path)[0], CPU)
    assert loaded.head.weight is loaded.words.weight
    with torch.no_grad():
        assert torch.equal(loaded(work.test.inputs), result.model(work.test.inputs))


def test_batchnorm_and_depthwise_leaks():
    """A masked convolution leaks through the norm's bias: all slices of a unit are pruned, and then masked is
    removed.
    """
    model, images = seeded(depthwise), samples(IMAGE, 16, 0).inputs
    groups = Channels().sorted_out(model, images[:1])[0]
    keep = {"0": torch.tensor([True, False, True, True]), "6": torch.arange(6) != 2}
    only_weights = copy.deepcopy(model)
    only_weights[0].weight.data[1] = only_weights[3].weight.data[1] = 0.0
    masked = copy.deepcopy(model)
    apply_masks(masked, masks_of(groups, keep, masked))
    with torch.no_grad():
        assert only_weights[:5](images)[:, 1].abs().max() > 0.01  # the leak, in the channel that is gone
        for layers in (2, 5):  # after the first norm and after the depthwise convolution's
            assert not masked[:layers](images)[:, 1].any() and masked[:layers](images)[:, 0].any()
        assert not masked[:8](images)[:, 2].any()
        removed = remove_units(model, images[:1], groups, keep)
        assert torch.allclose(masked(images), removed(images), atol=1e-6)
    assert (removed[0].out_channels, removed[3].groups, removed[6].out_channels) == (3, 3, 5)


def test_rounding_by_groups_of_channels():
    """Where channels are pruned only in groups, asked 30 % removes 50 %: units are what is pruned, and what were pruned
    is told.
    """
    work = workload(lambda: seeded(GroupNormed), IMAGE)
    recipe = Recipe("m", Magnitude(), Channels(), WithinLayer(), Sparsity(0.3), tuning=CUT_ONLY)
    events, result = carried_out(work, recipe)
    (masked,) = of_type(events, Masked)
    # the 8 channels of stem are 2 units: 0.3 · 2 = 0.6 is one of them; conv has 6: 1.8 are two
    assert (masked.asked, masked.pruned, masked.units) == (3, 3, 8)
    assert masked.kept == {"stem": 0.5, "conv": pytest.approx(2 / 3)}
    assert (result.model.stem.out_channels, result.model.conv.out_channels) == (4, 4)
    rows = {row.name: row for row in look(PreviewSession({"m": lambda: work}, CPU), recipe, "score").layers}
    assert (rows["stem"].units, rows["stem"].pruned_units) == (2, 1)


@pytest.mark.parametrize("network", NETWORKS)
def test_classifier_output(network: str):
    """torch-pruning cuts classes unless told not to: the output's units are never pruned, its inputs' weights may."""
    recipe = Recipe("m", Magnitude(), Channels(), WithinLayer(), Sparsity(1.0), tuning=CUT_ONLY)
    work = tiny(network)
    _, result = carried_out(work, recipe)
    with torch.no_grad():
        assert result.model(work.test.inputs).shape == (300, 3)
    *_, last = prunable_weights(work.build())
    _, reasons = Channels().sorted_out(work.build(), work.example)
    assert last.name not in result.keep and reasons[last.name] == "its units are the model's output: they always stay"
    _, result = carried_out(work, Recipe("m", amount=Sparsity(0.5), scope=WithinLayer(), tuning=CUT_ONLY))
    left = result.model.get_parameter(last.param)
    assert int((left == 0).sum()) == round(left.numel() / 2)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_frozen_and_quantised_layers():
    """A no-op without a word, or a TypeError: here the layer table says why, and the layer stays."""

    def frozen() -> nn.Module:
        model = seeded(mlp)
        model[2].weight.requires_grad_(False)
        return model

    rows = {row.name: row.why_not for row in layer_table(frozen(), torch.zeros(1, 6))}
    assert rows == {"0": "", "2": "frozen: set requires_grad to True to let it be pruned", "4": ""}
    for granularity, kept in ((Weights(), {"0", "4"}), (Channels(), {"0"})):
        recipe = Recipe("m", Taylor(), granularity, WithinLayer(), Sparsity(0.5), tuning=QUICK)
        _, result = carried_out(workload(frozen, VECTOR), recipe)
        assert result.keep.keys() == kept
        stay = result.model[2].weight
        before = frozen()[2].weight
        assert torch.equal(stay, before if granularity == Weights() else before[:, result.keep["0"]])

    def quantised() -> nn.Module:
        return torch.ao.quantization.quantize_dynamic(seeded(mlp), {nn.Linear}, dtype=torch.qint8)

    reported = {row.name: row.why_not for row in layer_table(quantised(), torch.zeros(1, 6))}
    assert "quantised: prune the float model first, then quantise it" in reported["0"]
    with pytest.raises(WorkloadError, match=r"quantised .* use the float model, prune it, then quantise it"):
        carried_out(workload(quantised, VECTOR), Recipe("m", tuning=CUT_ONLY))


class Held(nn.Module):
    """One weight of any dtype, [2, 4]; int8 and float8 cannot be trained, but a criterion can be asked about them."""

    def __init__(self, values: list[float], dtype: torch.dtype) -> None:
        super().__init__()
        self.held = nn.Linear(4, 2, bias=False)
        self.held.weight = nn.Parameter(torch.tensor(values).reshape(2, 4).to(dtype), requires_grad=False)


@pytest.mark.parametrize(
    "dtype, values",
    [
        (torch.float16, [300.0, -400.0, 1.0, 0.0, 6e4, 6e4, 0.0, 0.0]),  # 300² is beyond float16
        (torch.bfloat16, [256.0, 1.0, 1.0, 1.0, 2.0, 0.0, 0.0, 0.0]),  # 256 + 1 is 256 in bfloat16
        (torch.float8_e4m3fn, [448.0, 448.0, 448.0, 448.0, 1.0, 0.5, 0.0, -2.0]),  # 448 is the largest there is
        (torch.int8, [-128.0, 127.0, 127.0, 0.0, 1.0, 2.0, 3.0, -4.0]),  # abs(-128) is -128 in int8
    ],
    ids=str,
)
def test_scores_of_narrow_dtypes(dtype: torch.dtype, values: list[float]):
    """Elsewhere the importance is NaN or negative: scores are widened to float32 first."""
    model, work = Held(values, dtype), tiny("mlp")
    rows = torch.tensor(values).reshape(2, 4).double()
    index = torch.arange(2)[:, None]
    units = UnitGroup("held", ("held",), (2,), (Slice("held.weight", 0, index),))
    single = UnitGroup("held", ("held",), (2, 4), (Tiles("held.weight"),))
    calibration = Calibration(work, CPU)
    one = unit_scores(Magnitude(1), model, [units], calibration)["held"]
    two = unit_scores(Magnitude(2), model, [units], calibration)["held"]
    alone = unit_scores(Magnitude(1), model, [single], calibration)["held"]
    assert one.dtype == two.dtype == alone.dtype == torch.float32
    assert torch.equal(one.double(), rows.abs().sum(dim=1)) and torch.equal(alone.double(), rows.abs().flatten())
    assert torch.allclose(two.double(), rows.square().sum(dim=1).sqrt(), rtol=1e-6)


@pytest.mark.parametrize(
    "make_norm",
    [
        weight_norm,
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        lambda layer: prune.l1_unstructured(layer, "weight", 0.2),
    ],
    ids=["weight_norm", "parametrized", "spectral", "torch prune"],
)
@pytest.mark.parametrize("granularity", [Weights(), Channels()], ids=["weights", "channels"])
def test_reparametrised_weights(granularity: Granularity, make_norm):
    """A TypeError elsewhere, or a model that is broken afterwards: they are folded first, on a copy."""

    def build() -> nn.Module:
        model = seeded(mlp)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the old form is deprecated: that is why people's models still hold it
            make_norm(model[2])
        return model.eval()

    own = build()
    work = workload(lambda: own, VECTOR)
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    recipe = Recipe("m", Magnitude(), granularity, WithinLayer(), Sparsity(0.5), tuning=QUICK)
    events, result = carried_out(work, recipe)
    assert not of_type(events, Warned) and result.stages["tuned"].nonzero < result.stages["dense"].nonzero
    assert set(result.model.state_dict()) == set(seeded(mlp).state_dict())
    assert own.state_dict().keys() == before.keys()
    assert all(torch.equal(before[name], tensor) for name, tensor in own.state_dict().items())


@pytest.mark.parametrize("granularity", [Weights(), Channels()], ids=["weights", "channels"])
@pytest.mark.parametrize("layout", ["channels last", "transposed", "sliced"])
def test_layouts_in_memory(layout: str, granularity: Granularity):
    """A RuntimeError elsewhere: the same units are pruned however the weights lie."""

    def laid_out() -> nn.Module:
        model = seeded(conv_bn)
        if layout == "channels last":
            return model.to(memory_format=torch.channels_last)
        for layer in (model[0], model[4], model[9]):
            weight = layer.weight.detach()
            if layout == "transposed":
                other = weight.transpose(0, 1).contiguous().transpose(0, 1)
            else:
                other = torch.stack([weight, -weight], dim=-1)[..., 0]
            layer.weight = nn.Parameter(other)
            assert not other.is_contiguous() and torch.equal(other, weight)
        return model

    recipe = Recipe("m", Taylor(), granularity, WithinLayer(), Sparsity(0.5), tuning=CUT_ONLY)
    (_, plain), (_, other) = (
        carried_out(workload(make, IMAGE), recipe) for make in (lambda: seeded(conv_bn), laid_out)
    )
    assert all(torch.equal(plain.keep[name], other.keep[name]) for name in plain.keep)
    assert plain.stages["tuned"].score == other.stages["tuned"].score
    assert plain.stages["tuned"].nonzero == other.stages["tuned"].nonzero


@pytest.mark.parametrize("granularity", [Weights(), Channels()], ids=["weights", "channels"])
def test_copying_and_loading_what_was_pruned(granularity: Granularity):
    """Elsewhere deepcopy raises and the names change: here they are the plain model's, and so is loading."""
    recipe = Recipe("m", Magnitude(), granularity, WithinLayer(), Sparsity(0.5), Linear(2), QUICK)
    work = tiny("residual")
    _, result = carried_out(work, recipe)
    plain = copy.deepcopy(result.model)
    assert list(plain.state_dict()) == list(work.build().state_dict())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in result.model.modules())
    other = open_model(work, CPU) if granularity == Weights() else copy.deepcopy(result.model)
    other.load_state_dict(result.model.state_dict(), strict=True)
    with torch.no_grad():
        outputs = [model.eval()(work.test.inputs[:9]) for model in (result.model, plain, other)]
    assert torch.equal(outputs[0], outputs[1]) and torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_zeros_while_tuning(optimiser: str):
    """Elsewhere zeros come back in one optimiser step: masks are applied again after every one."""
    tuning = Tuning(epochs=2, batch_size=64, optimiser=optimiser, learning_rate=0.05)
    work = tiny("conv_bn")
    _, result = carried_out(work, Recipe("m", Taylor(), amount=Sparsity(0.7), schedule=Linear(2), tuning=tuning))
    weights = {name: result.model.get_submodule(name).weight for name in result.keep}
    assert sum(int((weight == 0).sum()) for weight in weights.values()) == round(0.7 * (72 + 180 + 15))
    moved = [int((weight != work.build().get_submodule(n).weight).sum()) for n, weight in weights.items()]
    assert all(moved)


def test_dead_relu_units():
    """Magnitude does not see that a unit never fires: activation and apoz do, and it is pruned first."""

    def build() -> nn.Module:
        model = seeded(mlp)
        model[0].weight.data[3] *= 10.0  # the largest of all, and silent
        model[0].bias.data[3] = -1e4
        return model

    work = workload(build, VECTOR)
    assert int(scores_of(Magnitude(), build(), work, Channels())["0"].argmax()) == 3
    for criterion in (Activation(), Apoz()):
        scores = scores_of(criterion, build(), work, Channels())["0"]
        assert scores[3] == 0.0 and int((scores == 0).sum()) == 1
        recipe = Recipe("m", criterion, Channels(), amount=PerLayer({"0": 0.2}), tuning=CUT_ONLY)
        _, result = carried_out(work, recipe)
        assert result.keep["0"].tolist() == [True, True, True, False, True]
        assert result.stages["tuned"].score == result.stages["dense"].score


class Wired(nn.Module):
    """A forward that has the width of a layer written into it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(64 * 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(F.relu(self.conv(images)).reshape(-1, 256))


@pytest.mark.parametrize("make, shape", [(LSTMClassifier, (5, 4)), (Encoder, (5, 4))], ids=["lstm", "encoder"])
def test_networks_that_cannot_be_cut_everywhere(make, shape):
    """Elsewhere the forward fails afterwards: what cannot be cut says so, the rest is, and the network runs."""
    work = workload(lambda: seeded(make), shape)
    groups, reasons = Channels().sorted_out(work.build(), work.example)
    assert groups and reasons and all(len(reason) > 20 for reason in reasons.values())
    recipe = Recipe("m", Magnitude(), Channels(), WithinLayer(), Sparsity(0.5), tuning=CUT_ONLY)
    _, result = carried_out(work, recipe)
    assert result.stages["tuned"].parameters < result.stages["dense"].parameters
    with torch.no_grad():
        assert result.model(work.test.inputs).shape == (300, 3)


def test_surgery_that_fails():
    """Copy, cut, check, swap: on a failure the old model is as it was, and the sentence says what failed."""
    work = workload(lambda: seeded(Wired), IMAGE)
    model = open_model(work, CPU)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RecipeError, match=r"conv: the network does not run without .* \(.*\): they always stay"):
        carried_out(work, Recipe("m", Magnitude(), Channels(), tuning=CUT_ONLY))
    pieces = (Slice("conv.weight", 0, torch.arange(4)[:, None]),)
    forced = UnitGroup("conv", ("conv",), (4,), pieces)
    with pytest.raises(SurgeryError, match=r"the smaller model does not run \(.*\); the old model is untouched"):
        remove_units(model, work.example, [forced], {"conv": torch.tensor([True, False, True, True])})
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.conv.out_channels == 4 and model(work.example).shape == (1, 3)


def test_residual_additions():
    """Members tested alone look as if they could do without: what is added together is one row and is pruned
    together.
    """
    model = seeded(Residual)
    groups = Channels().sorted_out(model, torch.zeros(1, *IMAGE))[0]
    assert [group.members for group in groups] == [("stem", "conv2"), ("conv1",), ("conv3", "project")]
    weights = dict(model.named_parameters())
    stem = groups[0].sums({name: weights[name].abs() for name in groups[0].params})
    both = model.stem.weight.abs().sum(dim=(1, 2, 3)) + model.conv2.weight.abs().sum(dim=(1, 2, 3))
    assert torch.allclose(stem, both, rtol=1e-6)
    recipe = Recipe("m", Magnitude(), Channels(), WithinLayer(), PerLayer({"stem": 0.5}), tuning=CUT_ONLY)
    _, result = carried_out(tiny("residual"), recipe)
    assert (result.model.stem.out_channels, result.model.conv2.out_channels) == (2, 2)
    assert (result.model.conv1.in_channels, result.model.conv3.in_channels, result.model.project.in_channels) == (
        2,
        2,
        2,
    )


def test_asked_and_removed():
    """Asked 50 % of the channels, removed 60 % of the parameters: both are told."""
    recipe = Recipe("conv_bn", Magnitude(), Channels(), WithinLayer(), Sparsity(0.5), tuning=CUT_ONLY)
    events, result = carried_out(tiny("conv_bn"), recipe)
    checked = of_type(events, SurgeryChecked)[-1]
    # 2 of 4 and 2 of 5 channels are pruned; (2·2·9 + 2) + 4 + (3·2·9 + 3) + 6 + (3·3 + 3) = 117 of 297 parameters are
    # left
    assert checked.pruned_share == 4 / 9 and checked.removed_parameters == pytest.approx(1 - 117 / 297)
    assert result.stages["tuned"].parameters == 117
    seen = look(PreviewSession({"conv_bn": lambda: tiny("conv_bn")}, CPU), recipe, "score")
    assert (seen.pruned, seen.units, seen.parameters) == (4, 9, 117)


def test_zeros_are_not_speed():
    """Zeros make no dense kernel faster: only what is removed takes MACs and bytes away, and the time is measured."""
    costs = {}
    for granularity in (Weights(), Channels()):
        recipe = Recipe("conv_bn", Magnitude(), granularity, WithinLayer(), Sparsity(0.5), tuning=CUT_ONLY)
        _, result = carried_out(tiny("conv_bn"), recipe)
        costs[type(granularity)] = result.stages
    zeroed, removed = costs[Weights], costs[Channels]
    assert zeroed["tuned"].nonzero < 0.6 * zeroed["dense"].nonzero
    for field in ("macs", "bytes", "parameters"):
        assert getattr(zeroed["tuned"], field) == getattr(zeroed["dense"], field)
        assert getattr(removed["tuned"], field) < getattr(removed["dense"], field)
    assert all(stage.latency_ms > 0 for stages in costs.values() for stage in stages.values())
