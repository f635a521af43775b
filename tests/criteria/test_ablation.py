import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.criteria import Ablation, unit_removal, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.errors import RecipeError
from pruning.granularities import GRANULARITIES, Channels, RNNUnits
from pruning.model.preparation import open_model
from pruning.model.units import UnitGroup, apply_masks, masks_of
from pruning.pipeline.eligibility import scorable_groups
from pruning.workload import Batch, Classification, TensorSplit, Workload
from tests.criteria.hand import scored, work
from tests.networks import CLASSES, CPU, NETWORKS, VECTOR, mlp, seeded, workload


def naive(model: nn.Module, groups: list[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
    """Copy, mask one unit, take the loss of all samples at once: for each unit."""
    inputs, targets = (torch.cat(parts) for parts in zip(*calibration.batches(), strict=True))
    rises: dict[str, Tensor] = {}
    with torch.no_grad():
        whole = F.cross_entropy(model(inputs).double(), targets)
        for group in groups:
            losses = []
            for unit in range(group.units):
                without = copy.deepcopy(model)
                apply_masks(without, masks_of([group], {group.name: torch.arange(group.units) != unit}, without))
                losses.append(F.cross_entropy(without(inputs).double(), targets))
            rises[group.name] = (torch.stack(losses) - whole).float()
    return rises


def louder(model: nn.Module) -> nn.Module:
    """With weights of twice the size, so that a unit of an untrained network makes a difference."""
    for parameter in model.parameters():
        parameter.data *= 2 if parameter.dim() > 1 else 1
    return model


def equal_to_naive(data: Workload, granularity: str) -> int:
    """How many units were compared."""
    model = louder(data.build().eval())
    groups, reasons = GRANULARITIES[granularity]().sorted_out(model, data.example)
    assert groups, reasons
    calibration = Calibration(data, CPU, samples=150)
    scores = unit_scores(Ablation(samples=150), model, groups, calibration)
    expected = naive(model, groups, calibration)
    for group in groups:
        assert torch.allclose(scores[group.name], expected[group.name], rtol=0, atol=1e-6), group.name
    assert max(float(values.abs().max()) for values in expected.values()) > 1e-3  # there is something to be equal to
    return sum(group.units for group in groups)


def test_a_neuron_scores_how_far_the_loss_rises_without_it():
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
    model[0].weight.data = torch.tensor([[1.0], [1.0]])
    model[2].weight.data = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    data = work(model, torch.tensor([[1.0], [2.0]]), [0, 1])

    def loss(first: float, second: float) -> float:
        """Logits (3, 1)·x for x = 1 and target 0, x = 2 and target 1; a removed neuron's logit is 0."""
        one = torch.logsumexp(torch.tensor([first, second]), 0) - first
        two = torch.logsumexp(torch.tensor([2 * first, 2 * second]), 0) - 2 * second
        return float(one + two) / 2

    whole = loss(3, 1)
    expected = [loss(0, 1) - whole, loss(3, 0) - whole]
    assert expected[0] < 0 < expected[1]  # the first neuron is worse than none
    assert scored(Ablation(), data)["0"].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.fixture(params=[True, False], ids=["at once", "one by one"])
def at_once(request, monkeypatch) -> bool:
    """Both ways, wherever the test runs: by itself the CPU takes the kernels of convolutions one by one."""
    monkeypatch.setattr(unit_removal, "_pays_at_once", lambda params, device: request.param)
    return request.param


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("network", NETWORKS)
def test_channels_score_what_the_naive_loop_gives(network):
    make, shape = NETWORKS[network]
    assert equal_to_naive(workload(lambda: seeded(make), shape), "channels") >= 9


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("network", ["conv", "residual", "depthwise"])
def test_kernels_score_what_the_naive_loop_gives(network):
    make, shape = NETWORKS[network]
    assert equal_to_naive(workload(lambda: seeded(make), shape), "kernels") >= 28


class Recurrent(nn.Module):
    """Vectors in a sequence [b, 5, 4] to [b, 3]."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.entry = nn.Linear(4, 5)
        self.recurrent = kind(5, 4, num_layers=2, batch_first=True, bidirectional=True)
        self.hidden, self.head = nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, steps: Tensor) -> Tensor:
        return self.head(F.relu(self.hidden(self.recurrent(self.entry(steps))[0].mean(dim=1))))


class Attending(nn.Module):
    """Two pre-norm encoder layers over [b, 5, 4] to [b, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.head = nn.Linear(4, 8), nn.Linear(8, 3)
        self.encoder = nn.Sequential(
            nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, norm_first=True),
            nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, norm_first=True),
        )

    def forward(self, steps: Tensor) -> Tensor:
        return self.head(self.encoder(self.entry(steps)).mean(dim=1))


class Words(nn.Module):
    """Tokens [b, 6] to [b, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.hidden, self.head = nn.Embedding(11, 5), nn.Linear(5, 7), nn.Linear(7, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(F.relu(self.hidden(self.words(tokens).mean(dim=1))))


def tokens() -> Workload:
    def split(seed: int) -> TensorSplit:
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(11, (200, 6), generator=generator)
        return TensorSplit(drawn, torch.randint(3, (200,), generator=generator))

    parts = [split(seed) for seed in (2, 3, 4)]
    return Workload("words", lambda: seeded(Words), parts[0].inputs[:1], *parts, Classification(CLASSES))


CASES: dict[str, tuple[str, Callable[[], Workload]]] = {
    "lstm units": ("rnn_units", lambda: workload(lambda: seeded(lambda: Recurrent(nn.LSTM)), (5, 4))),
    "lstm gates": ("rnn_gates", lambda: workload(lambda: seeded(lambda: Recurrent(nn.LSTM)), (5, 4))),
    "gru units": ("rnn_units", lambda: workload(lambda: seeded(lambda: Recurrent(nn.GRU)), (5, 4))),
    "channels beside an lstm": ("channels", lambda: workload(lambda: seeded(lambda: Recurrent(nn.LSTM)), (5, 4))),
    "heads": ("heads", lambda: workload(lambda: seeded(Attending), (5, 4))),
    "blocks of a transformer": ("layers", lambda: workload(lambda: seeded(Attending), (5, 4))),
    "channels of a transformer": ("channels", lambda: workload(lambda: seeded(Attending), (5, 4))),
    "embedding dimensions": ("embedding_dimensions", tokens),
}


@pytest.mark.parametrize("case", CASES)
def test_other_units_score_what_the_naive_loop_gives(case):
    granularity, make = CASES[case]
    assert equal_to_naive(make(), granularity) >= 2


@dataclass(frozen=True)
class Counting(Classification):
    calls: list[int] = field(default_factory=list)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        self.calls.append(len(batch[0]))
        return super().loss(model, batch)


@pytest.mark.parametrize(
    "granularity, make, shape",
    [
        *(("channels", *NETWORKS[name]) for name in NETWORKS),
        *((name, Attending, (5, 4)) for name in ("channels", "heads", "layers")),
    ],
)
def test_all_units_of_a_layer_are_measured_at_once_or_one_by_one(granularity, make, shape, at_once):
    data = workload(lambda: seeded(make), shape)
    task = Counting(CLASSES)
    model = data.build()
    groups = GRANULARITIES[granularity]().sorted_out(model, data.example)[0]
    scored(Ablation(samples=100), replace(data, task=task), model=model, groups=groups)
    # the whole network, and each layer or each unit
    assert task.calls == [100] * (1 + (len(groups) if at_once else sum(group.units for group in groups)))


def test_where_vmap_has_no_rule_each_unit_is_measured_alone():
    data = workload(lambda: seeded(lambda: Recurrent(nn.GRU)), (5, 4))
    task = Counting(CLASSES)
    scored(Ablation(samples=100), replace(data, task=task), RNNUnits())
    assert len(task.calls) == 1 + 4 * (1 + 4)  # whole; two layers in two directions: the attempt, then four units


def test_on_the_cpu_only_kernels_of_convolutions_are_measured_one_by_one():
    linear, kernel = torch.zeros(3, 4), torch.zeros(3, 4, 1, 1)
    assert unit_removal._pays_at_once([linear, linear[0]], CPU) and not unit_removal._pays_at_once(
        [linear, kernel], CPU
    )
    assert unit_removal._pays_at_once([linear, kernel], torch.device("cuda"))


def test_chunks_of_any_size_give_the_same(monkeypatch):
    monkeypatch.setattr(unit_removal, "_pays_at_once", lambda params, device: True)
    make, shape = NETWORKS["conv_bn"]
    data = workload(lambda: seeded(make), shape)
    together = scored(Ablation(), data)
    monkeypatch.setattr(unit_removal, "BYTES", 0)
    alone = scored(Ablation(), data)
    assert all(torch.allclose(together[name], alone[name], rtol=0, atol=1e-6) for name in together)


def test_a_network_that_looks_at_its_values_is_measured_one_unit_at_a_time():
    class Looks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = nn.Linear(6, 5), nn.Linear(5, 3)

        def forward(self, vectors):
            hidden = self.hidden(vectors)
            return self.head(hidden.relu() if float(hidden.detach().max()) > 0 else hidden)

    assert equal_to_naive(workload(lambda: seeded(Looks), (6,)), "channels") == 5


def test_a_unit_that_has_been_pruned_scores_exactly_zero():
    make, shape = NETWORKS["conv_bn"]
    data = workload(lambda: seeded(make), shape)
    model = data.build()
    groups = Channels().sorted_out(model, data.example)[0]
    keep = {"0": torch.tensor([True, False, True, True]), "4": torch.ones(5, dtype=torch.bool)}
    apply_masks(model, masks_of(groups, keep, model))
    scores = scored(Ablation(), data, model=model)["0"]
    assert scores[1] == 0 and bool((scores[[0, 2, 3]] != 0).all())


def test_settings_of_attention_are_as_they_were_also_after_an_error():
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = nn.Linear(6, 5), nn.Linear(5, 3)

        def forward(self, vectors):
            if len(vectors) > 1:
                assert not torch.backends.mha.get_fastpath_enabled()
                raise ZeroDivisionError
            return self.head(self.hidden(vectors).relu())

    before = (torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled())
    with pytest.raises(ZeroDivisionError):
        scored(Ablation(), workload(lambda: seeded(Fails), (6,)))
    assert (torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled()) == before


@pytest.mark.parametrize("samples", [0, 10001])
def test_samples_have_a_range(samples):
    with pytest.raises(RecipeError, match=f"criterion.samples is {samples}"):
        Ablation(samples)


def test_a_network_of_zeros_has_no_unit_that_matters():
    work = workload(zeros, VECTOR, count=32)
    model = open_model(work, CPU)
    groups, _ = scorable_groups(Ablation(samples=16), Channels(), model, work.example)
    scores = unit_scores(Ablation(samples=16), model, groups, Calibration(work, CPU))
    assert groups and all(values.tolist() == [0.0] * len(values) for values in scores.values())


def zeros() -> nn.Module:
    network = seeded(mlp)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    return network
