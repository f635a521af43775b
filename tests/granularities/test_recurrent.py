import copy

import pytest
import torch
from torch import nn

from pruning.granularities import RNNGates, RNNUnits
from pruning.model.narrow_layers import NarrowLSTM
from pruning.model.surgery import masked_copy, remove_units
from pruning.model.trial import compute_the_same
from pruning.model.units import apply_masks, masks_of
from tests.networks import seeded

KINDS = {
    "tanh": lambda **options: nn.RNN(3, 4, batch_first=True, **options),
    "relu": lambda **options: nn.RNN(3, 4, batch_first=True, nonlinearity="relu", **options),
    "gru": lambda **options: nn.GRU(3, 4, batch_first=True, **options),
    "lstm": lambda **options: nn.LSTM(3, 4, batch_first=True, **options),
}
GATES = {"tanh": 1, "relu": 1, "gru": 3, "lstm": 4}
STEPS = torch.randn(5, 6, 3, generator=torch.Generator().manual_seed(0))


class Tagger(nn.Module):
    """A class for every step: a recurrent layer, and a Linear layer that reads its states."""

    def __init__(self, cell: nn.RNNBase) -> None:
        super().__init__()
        width = cell.proj_size or cell.hidden_size
        self.cell, self.head = cell, nn.Linear(width * (2 if cell.bidirectional else 1), 2)

    def forward(self, steps):
        return self.head(self.cell(steps)[0])


def wrapped(kind: str, **options: object) -> nn.Module:
    return seeded(lambda: Tagger(KINDS[kind](**options)))


class Pair(nn.Module):
    """The states of two recurrent layers are added and read. [b, t, width]."""

    def __init__(self, width: int = 3, layers: int = 1) -> None:
        super().__init__()
        self.one, self.two = nn.RNN(width, 4, num_layers=layers), nn.RNN(width, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, steps):
        return self.head(self.one(steps)[0] + self.two(steps)[0])


HEAD = {"head": "Linear has no recurrent units: choose another granularity"}
ADDED = "its units fall only together with those of other layers: they are set to zero"


def test_the_units_of_an_lstm_written_out():
    model = wrapped("lstm", num_layers=2, bidirectional=True)
    groups, reasons = RNNUnits().sorted_out(model, STEPS[:1])
    assert reasons == HEAD and not any(group.fixed for group in groups)
    assert [(group.name, group.members[1], group.layout) for group in groups] == [
        (f"cell.weight_ih_{end}", f"cell.weight_hh_{end}", (4,)) for end in ("l0", "l0_reverse", "l1", "l1_reverse")
    ]
    owned = {(piece.param, piece.dim): piece.index[1].tolist() for piece in groups[1].pieces}
    gates = [1, 5, 9, 13]  # unit 1 of four in each of i, f, g, o
    assert owned == {
        ("cell.weight_ih_l0_reverse", 0): gates,
        ("cell.weight_hh_l0_reverse", 0): gates,
        ("cell.bias_ih_l0_reverse", 0): gates,
        ("cell.bias_hh_l0_reverse", 0): gates,
        ("cell.weight_hh_l0_reverse", 1): [1],
        ("cell.weight_ih_l1", 1): [5],  # the next layer reads both directions side by side
        ("cell.weight_ih_l1_reverse", 1): [5],
    }
    assert groups[0].params == ("cell.weight_ih_l0", "cell.weight_hh_l0")  # the columns do not rank it
    assert {piece.param for piece in groups[3].follows} == {
        "cell.bias_ih_l1_reverse", "cell.bias_hh_l1_reverse", "cell.weight_hh_l1_reverse", "head.weight",
    }  # fmt: skip
    assert [piece.index[1].tolist() for piece in groups[3].follows if piece.param == "head.weight"] == [[5]]


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"bias": False}], ids=["plain", "both ways", "bare"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_masked_unit_is_zero_at_every_step_and_the_others_never_hear_of_it(kind, options):
    model = wrapped(kind, **options)
    groups, _ = RNNUnits().sorted_out(model, STEPS[:1])
    keep = {group.name: torch.arange(4) != 2 for group in groups}
    masked = copy.deepcopy(model)
    apply_masks(masked, masks_of(groups, keep, masked))
    with torch.no_grad():
        before, after = model.cell(STEPS)[0], masked.cell(STEPS)[0]
    dead = torch.arange(before.shape[2]) % 4 == 2
    assert not after[..., dead].any() and before[..., dead].any()
    # the others are those of a smaller layer of three units
    smaller = KINDS[kind](**options)
    smaller = type(smaller)(3, 3, batch_first=True, **options, **({"nonlinearity": "relu"} if kind == "relu" else {}))
    stays = torch.cat([torch.tensor([0, 1, 3]) + 4 * gate for gate in range(GATES[kind])])
    with torch.no_grad():
        for name, parameter in smaller.named_parameters():
            whole = getattr(model.cell, name)[stays]
            parameter.copy_(whole[:, [0, 1, 3]] if "weight_hh" in name else whole)
        assert torch.allclose(after[..., ~dead], smaller(STEPS)[0], atol=1e-6)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_the_next_layer_does_not_read_a_masked_unit(kind):
    model = wrapped(kind, num_layers=2)
    groups, _ = RNNUnits().sorted_out(model, STEPS[:1])
    apply_masks(model, masks_of(groups[:1], {groups[0].name: torch.arange(4) != 2}, model))
    assert not model.cell.weight_ih_l1[:, 2].any() and model.cell.weight_ih_l1[:, 1].all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_gate_is_one_row_of_both_matrices(kind):
    model = wrapped(kind)
    (group,), reasons = RNNGates().sorted_out(model, STEPS[:1])
    gates = GATES[kind]
    assert group.layout == (gates, 4) and list(reasons) == ["head"]
    keep = torch.ones(gates, 4, dtype=torch.bool)
    keep[gates - 1, 1] = False
    apply_masks(model, masks_of([group], {group.name: keep.flatten()}, model))
    row = (gates - 1) * 4 + 1
    for parameter in model.cell.parameters():
        assert not parameter[row].any()
        assert int((parameter == 0).sum()) == parameter[row].numel()


def test_an_lstm_without_a_forget_gate_halves_its_cell_at_each_step():
    model = wrapped("lstm")
    (group,), _ = RNNGates().sorted_out(model, STEPS[:1])
    keep = torch.ones(4, 4, dtype=torch.bool)
    keep[:, 0] = torch.tensor([True, False, False, True])  # unit 0: f is 0.5, g is 0
    apply_masks(model, masks_of([group], {group.name: keep.flatten()}, model))
    cell = torch.ones(1, 1, 4)
    with torch.no_grad():
        _, (_, after) = model.cell(STEPS[:1], (torch.zeros(1, 1, 4), cell))
    assert float(after[0, 0, 0]) == 0.5 ** STEPS.shape[1]


def test_a_projected_lstm_has_gates_but_no_units_and_its_projection_neither():
    model = wrapped("lstm", proj_size=2)
    groups, reasons = RNNUnits().sorted_out(model, STEPS[:1])
    assert groups == [] and "proj_size" in reasons["cell.weight_ih_l0"] and "proj_size" in reasons["cell.weight_hh_l0"]
    assert reasons["cell.weight_hr_l0"] == "a projection mixes the hidden units: choose weights"
    (group,), reasons = RNNGates().sorted_out(model, STEPS[:1])
    assert group.layout == (4, 4) and reasons["cell.weight_hr_l0"] == "a projection has no gates: choose weights"


@pytest.mark.parametrize("granularity", [RNNUnits(), RNNGates()])
def test_frozen_and_shared_weights_keep_their_layer_whole(granularity):
    model = wrapped("gru", num_layers=2)
    model.cell.weight_hh_l0.requires_grad_(False)
    groups, reasons = granularity.sorted_out(model, STEPS[:1])
    assert [group.name for group in groups] == ["cell.weight_ih_l1"]
    assert "cell.weight_hh_l0, which is frozen" in reasons["cell.weight_ih_l0"]

    model = Pair()
    model.two.weight_hh_l0 = model.one.weight_hh_l0
    groups, reasons = granularity.sorted_out(model, STEPS[:1])
    assert groups == [] and "shared with two.weight_hh_l0" in reasons["one.weight_ih_l0"]
    assert reasons["head"] == HEAD["head"]


@pytest.mark.parametrize("granularity", [RNNUnits(), RNNGates()])
def test_a_recurrent_layer_in_two_places_is_one_and_a_shared_bias_keeps_its_layer(granularity):
    model = Pair()
    model.add_module("again", nn.ModuleDict({"one": model.one}))
    assert [group.name for group in granularity.sorted_out(model, STEPS[:1])[0]] == [
        "one.weight_ih_l0",
        "two.weight_ih_l0",
    ]
    model.two.bias_hh_l0 = model.one.bias_hh_l0
    groups, reasons = granularity.sorted_out(model, STEPS[:1])
    assert groups == [] and "one.bias_hh_l0, which is shared with two.bias_hh_l0" in reasons["one.weight_hh_l0"]


def test_a_unit_stays_where_the_layer_that_reads_it_shares_its_weight():
    model, steps = Pair(width=4, layers=2), torch.randn(1, 6, 4)
    model.two.weight_ih_l0 = model.one.weight_ih_l1
    groups, reasons = RNNUnits().sorted_out(model, steps)
    assert groups == []
    assert "one.weight_ih_l1, which is shared with two.weight_ih_l0" in reasons["one.weight_ih_l0"]
    # a gate owns rows alone
    assert [group.name for group in RNNGates().sorted_out(model, steps)[0]] == ["one.weight_ih_l0"]


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=["plain", "stacked"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_without_units_computes_what_it_does_with_zeros(kind, options):
    model = wrapped(kind, **options)
    groups, _ = RNNUnits().sorted_out(model, STEPS[:1])
    # other units, and other numbers of them, in each layer and direction
    keep = {group.name: torch.arange(4) > number % 3 for number, group in enumerate(groups)}
    smaller = remove_units(model, STEPS[:1], groups, keep)
    assert compute_the_same(masked_copy(model, groups, keep), smaller, STEPS)
    assert [tuple(weight.shape) for name, weight in smaller.cell.named_parameters() if "weight_hh" in name] == [
        (GATES[kind] * stays, stays) for stays in ((3,) if not options else (3, 2, 1, 3))
    ]
    assert smaller.head.in_features == 3 if not options else smaller.head.in_features == 1 + 3


def test_units_that_only_fall_with_those_of_another_layer_are_set_to_zero():
    groups, reasons = RNNUnits().sorted_out(Pair(), STEPS[:1])
    assert {group.name: group.fixed for group in groups} == {"one.weight_ih_l0": ADDED, "two.weight_ih_l0": ADDED}
    assert reasons == HEAD


def test_states_that_are_the_output_are_set_to_zero():
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.LSTM(3, 4, batch_first=True)

        def forward(self, steps):
            return self.cell(steps)[0]

    (group,), reasons = RNNUnits().sorted_out(Bare(), STEPS[:1])
    assert group.fixed == "its units are the model's output: they are set to zero" and reasons == {}


class LastStates(nn.Module):
    """The last states of both layers, read as one tensor: as many units must go from each. [b, t, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(3, 4, num_layers=2, batch_first=True), nn.Linear(8, 2)

    def forward(self, steps):
        states = self.cell(steps)[1][0]
        return self.head(states.permute(1, 0, 2).flatten(1))


def test_last_states_that_are_read_as_one_tensor_lose_as_many_units_in_each_layer():
    model = seeded(LastStates)
    (group,), _ = RNNUnits().sorted_out(model, STEPS[:1])
    assert group.units == 4 and not group.fixed
    assert group.members == tuple(f"cell.weight_{part}_l{layer}" for layer in (0, 1) for part in ("ih", "hh"))
    owned = {(piece.param, piece.dim): piece.index[1].tolist() for piece in group.pieces}
    assert owned["head.weight", 1] == [1, 5] and owned["cell.weight_ih_l1", 1] == [1]
    keep = {group.name: torch.tensor([True, False, True, True])}
    smaller = remove_units(model, STEPS[:1], [group], keep)
    assert type(smaller.cell) is nn.LSTM and smaller.cell.hidden_size == 3
    assert compute_the_same(masked_copy(model, [group], keep), smaller, STEPS)


def test_layers_that_differ_in_their_units_become_a_class_of_ours():
    model = wrapped("lstm", num_layers=2)
    groups, _ = RNNUnits().sorted_out(model, STEPS[:1])
    keep = {groups[0].name: torch.arange(4) > 0, groups[1].name: torch.arange(4) > 1}
    assert type(remove_units(model, STEPS[:1], groups, keep).cell) is NarrowLSTM


def test_a_learnt_state_is_zero_with_its_unit_also_where_units_can_only_be_set_to_zero():
    class Learnt(nn.Module):
        """Its code has the number of its units written in, so that none can be removed."""

        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 3)
            self.begun = nn.Parameter(torch.ones(1, 1, 4))

        def forward(self, steps):
            states, _ = self.gru(steps, self.begun.expand(-1, len(steps), -1).contiguous())
            return self.head(states.reshape(len(steps), 6, 4)[:, -1])

    model = seeded(Learnt).double()
    (group,), _ = RNNUnits().sorted_out(model, STEPS[:1].double())
    assert group.fixed and "begun" in {piece.param for piece in group.pieces}
    masked = masked_copy(model, [group], {group.name: torch.tensor([True, False, True, True])})
    steps = STEPS.double()
    states, _ = masked.gru(steps, masked.begun.expand(-1, len(steps), -1).contiguous())
    assert not states[:, :, 1].any() and states[:, :, 0].all()
