"""Heads of attention and hidden units, found in what a network computes."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.model.labels.dependencies import SPREAD, dependencies_of
from tests.model.labels.between import STEPS, locked_rows, parts_of, slices_of


class Attention(nn.Module):
    """Two heads of three [1, 5, 3 wide], read by an output projection. `attend` multiplies them: [1, 2, 5, 3]."""

    def __init__(self, attend, keys: int = 2) -> None:
        super().__init__()
        self.attend, self.keys = attend, keys
        self.query, self.key, self.value = nn.Linear(3, 6), nn.Linear(3, 3 * keys), nn.Linear(3, 3 * keys)
        self.out = nn.Linear(6, 2)

    def forward(self, steps: Tensor) -> Tensor:
        query = self.query(steps).unflatten(2, (2, 3)).transpose(1, 2)
        key, value = (part(steps).unflatten(2, (self.keys, 3)).transpose(1, 2) for part in (self.key, self.value))
        return self.out(self.attend(query, key, value).transpose(1, 2).flatten(2))


def by_hand(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return (query @ key.transpose(2, 3) / 3**0.5).softmax(dim=-1) @ value


def by_einsum(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    weights = torch.einsum("bhqd,bhkd->bhqk", query, key).softmax(dim=-1)
    return torch.einsum("bhqk,bhkd->bhqd", weights, value)


ATTEND = {"by hand": by_hand, "einsum": by_einsum, "torch": F.scaled_dot_product_attention}


@pytest.mark.parametrize("name", ATTEND)
def test_a_head_is_its_rows_of_query_and_key_and_of_value_with_the_columns_that_read_it(name):
    found = dependencies_of(Attention(ATTEND[name]).eval(), STEPS)
    heads = [[0, 1, 2], [3, 4, 5]]
    assert parts_of(found, "query.weight") == [
        {
            **{(f"{part}.{word}", 0): rows for part in ("query", "key", "value") for word in ("weight", "bias")},
            ("out.weight", 1): rows,
        }
        for rows in heads
    ]
    assert list(found.heads.values()) == [("",), ("",)] and not found.heads.keys() & found.locked.keys()


def test_heads_are_known_by_the_module_that_multiplies_them():
    model = nn.Sequential(Attention(by_hand), nn.Linear(2, 2)).eval()
    found = dependencies_of(model, STEPS)
    assert list(found.heads.values()) == [("0",), ("0",)]


@pytest.mark.parametrize("name", ["by hand", "torch"])
def test_heads_that_share_one_key_fall_only_all_together_and_its_values_one_by_one(name):
    found = dependencies_of(Attention(ATTEND[name], keys=1).eval(), STEPS)
    (together,) = parts_of(found, "query.weight")
    assert together == {
        **{("query." + word, 0): [0, 1, 2, 3, 4, 5] for word in ("weight", "bias")},
        **{("key." + word, 0): [0, 1, 2] for word in ("weight", "bias")},
    }
    # each head of two passes the value on, in its own columns
    assert parts_of(found, "value.weight") == [
        {("value.weight", 0): [i], ("value.bias", 0): [i], ("out.weight", 1): [i, i + 3]} for i in range(3)
    ]


def test_a_scale_that_all_heads_share_stays_while_they_fall():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.scale = Attention(self.attend), nn.Parameter(torch.ones(3))

        def attend(self, query, key, value):
            return by_hand(query * self.scale, key, value)

        def forward(self, steps):
            return self.attention(steps)

    found = dependencies_of(Scaled().eval(), STEPS)
    rows = [part["attention.query.weight", 0] for part in parts_of(found, "attention.query.weight")]
    assert rows == [[0, 1, 2], [3, 4, 5]] and locked_rows(found, "attention.query.weight") == {}
    assert locked_rows(found, "scale") == dict.fromkeys(range(3), SPREAD)


def test_heads_that_share_a_key_in_pairs_fall_in_pairs():
    class Grouped(nn.Module):
        """Four heads of two, each pair with one key and value."""

        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value = nn.Linear(3, 8), nn.Linear(3, 4), nn.Linear(3, 4)
            self.out = nn.Linear(8, 2)

        def forward(self, steps):
            query = self.query(steps).unflatten(2, (4, 2)).transpose(1, 2)
            key, value = (
                part(steps).unflatten(2, (2, 2)).transpose(1, 2).repeat_interleave(2, dim=1)
                for part in (self.key, self.value)
            )
            return self.out(by_hand(query, key, value).transpose(1, 2).flatten(2))

    found = dependencies_of(Grouped().eval(), STEPS)
    assert [(part["query.weight", 0], part["key.weight", 0], part["value.weight", 0], part["out.weight", 1])
            for part in parts_of(found, "query.weight")] == [
        ([0, 1, 2, 3], [0, 1], [0, 1], [0, 1, 2, 3]), ([4, 5, 6, 7], [2, 3], [2, 3], [4, 5, 6, 7]),
    ]  # fmt: skip


def test_torchs_attention_by_itself():
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.attention = nn.Linear(3, 4), nn.MultiheadAttention(4, 2, batch_first=True)
            self.head = nn.Linear(4, 2)

        def forward(self, steps):
            steps = self.entry(steps)
            return self.head(self.attention(steps, steps, steps, need_weights=False)[0])

    found = dependencies_of(Own().eval(), STEPS)
    assert [slices_of(found, root) for root in found.heads] == [
        {
            ("attention.in_proj_weight", 0): rows, ("attention.in_proj_bias", 0): rows,
            ("attention.out_proj.weight", 1): columns,
        }
        for rows, columns in (([0, 1, 4, 5, 8, 9], [0, 1]), ([2, 3, 6, 7, 10, 11], [2, 3]))
    ]  # fmt: skip
    # the width is the entry's: columns of all three, rows of nothing
    assert parts_of(found, "entry.weight")[1] == {
        ("entry.weight", 0): [1], ("entry.bias", 0): [1], ("attention.in_proj_weight", 1): [1],
    }  # fmt: skip


class Recurrent(nn.Module):
    """An LSTM and what reads its states; or its cell, called step by step."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell, self.head = cell, nn.Linear(2, 2)

    def forward(self, steps: Tensor) -> Tensor:
        if not isinstance(self.cell, nn.LSTMCell):
            return self.head(self.cell(steps)[0][:, -1])
        state = (steps.new_zeros(1, 2), steps.new_zeros(1, 2))
        for step in steps.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0])


@pytest.mark.parametrize("loop", [False, True])
def test_a_hidden_unit_of_an_lstm_is_a_row_of_every_gate_and_a_column_of_what_reads_it(loop):
    cell, end = (nn.LSTMCell(3, 2), "") if loop else (nn.LSTM(3, 2, batch_first=True), "_l0")
    found = dependencies_of(Recurrent(cell).eval(), STEPS)
    gates = [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert parts_of(found, f"cell.weight_hh{end}", 1) == [
        {
            **{(f"cell.{word}{end}", 0): rows for word in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
            (f"cell.weight_hh{end}", 1): [unit],
            ("head.weight", 1): [unit],
        }
        for unit, rows in enumerate(gates)
    ]
    assert locked_rows(found, f"cell.weight_hh{end}") == {}


def test_what_runs_in_train_mode_alone_is_followed_too():
    class Auxiliary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last, self.aux = nn.Linear(3, 2), nn.Linear(2, 2), nn.Linear(2, 2)
            self.never = nn.Linear(2, 2)

        def forward(self, values):
            made = self.first(values)
            return (self.last(made), self.aux(made)) if self.training else self.last(made)

    found = dependencies_of(Auxiliary().eval(), STEPS)
    assert parts_of(found, "first.weight")[1] == {
        ("first.weight", 0): [1], ("first.bias", 0): [1], ("last.weight", 1): [1], ("aux.weight", 1): [1],
    }  # fmt: skip
    assert found.unseen == ("never.bias", "never.weight")
