"""Rows solved on their live columns, against the same worked out one row at a time with numpy."""

import numpy as np
import pytest
import torch

from pruning.repair import solving
from pruning.repair.columns import compensated
from pruning.repair.solving import solved

DRAW = torch.Generator().manual_seed(0)
READ = torch.randn(200, 12, generator=DRAW, dtype=torch.float64)
GIVEN = torch.randn(200, 7, generator=DRAW, dtype=torch.float64)
OLD = torch.randn(7, 12, generator=DRAW, dtype=torch.float64)
GRAM, CROSS = READ.T @ READ / 200, READ.T @ GIVEN / 200


def by_hand(live: torch.Tensor, ridge: float) -> torch.Tensor:
    """Each row's ridge regression as an ordinary one, with a further row of data for each weight."""
    strength = ridge * float(GRAM.diagonal().mean())
    found = np.zeros((7, 12))
    for row in range(7):
        columns = live[row].nonzero().flatten().numpy()
        if len(columns):
            pull = np.sqrt(strength * 200) * np.eye(len(columns))
            left = np.vstack([READ[:, columns].numpy(), pull])
            right = np.concatenate([GIVEN[:, row].numpy(), pull @ OLD[row, columns].numpy()])
            found[row, columns] = np.linalg.lstsq(left, right, rcond=None)[0]
    return torch.from_numpy(found)


APART = torch.rand(7, 12, generator=DRAW) < 0.6
APART[3] = False  # a row of which nothing is left
ALIKE = (torch.arange(12) % 3 > 0).expand(7, -1)


@pytest.mark.parametrize("live", [APART, ALIKE, torch.ones(7, 12, dtype=torch.bool)], ids=["apart", "alike", "whole"])
@pytest.mark.parametrize("ridge", [1e-6, 1e-3, 1.0])
def test_every_row_is_what_ordinary_least_squares_give(live, ridge):
    assert (solved(GRAM, CROSS, OLD, live, ridge) - by_hand(live, ridge)).abs().max() < 1e-9


def test_systems_are_solved_in_parts_that_fit(monkeypatch):
    monkeypatch.setattr(solving, "BYTES", 1)
    assert (solved(GRAM, CROSS, OLD, APART, 1e-3) - by_hand(APART, 1e-3)).abs().max() < 1e-9


@pytest.mark.parametrize("memory", [solving.BYTES, 1])
def test_large_layers_are_solved_step_by_step_to_the_same(monkeypatch, memory):
    monkeypatch.setattr(solving, "DIRECT", 0)
    monkeypatch.setattr(solving, "BYTES", memory)
    assert (solved(GRAM, CROSS, OLD, APART, 1e-3) - by_hand(APART, 1e-3)).abs().max() < 1e-6


def test_a_layer_that_reads_zeros_keeps_its_weights():
    zeros = torch.zeros_like(GRAM)
    assert torch.equal(solved(zeros, torch.zeros_like(CROSS), OLD, APART, 1e-3), OLD * APART)


def test_one_weight_that_goes_is_made_up_for_as_the_surgeon_says():
    # Hassibi 1993: w − w_j / [H⁻¹]_jj · [H⁻¹]_j for all columns; here those before j do not move, so j is the first
    live = torch.ones(7, 12, dtype=torch.bool)
    live[:, 0] = False
    hessian = GRAM / GRAM.diagonal().mean() + 0.01 * torch.eye(12, dtype=torch.float64)
    inverse = torch.linalg.inv(hessian)
    expected = OLD - (OLD[:, :1] / inverse[0, 0]) * inverse[0]
    expected[:, 0] = 0
    assert (compensated(GRAM, OLD, live, 0.01) - expected).abs().max() < 1e-12


def test_columns_are_worked_through_in_blocks_of_any_size(monkeypatch):
    whole = compensated(GRAM, OLD, APART, 0.01)
    monkeypatch.setattr("pruning.repair.columns.BLOCK", 5)
    assert (compensated(GRAM, OLD, APART, 0.01) - whole).abs().max() < 1e-12
    assert not whole[~APART].any()


def test_what_the_surgeon_leaves_is_nearer_than_what_is_merely_cut():
    correlated = READ @ torch.randn(12, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gram = correlated.T @ correlated / 200
    cut, made_up = OLD * APART, compensated(gram, OLD, APART, 0.001)
    assert float((correlated @ (made_up - OLD).T).square().sum()) < float((correlated @ (cut - OLD).T).square().sum())
