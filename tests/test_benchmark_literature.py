"""The benchmark of published results: what is counted, what is kept between calls, and the data it learns from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import literature, mnist_pool
from benchmarks.literature import Digits, Run, carried_out, chosen_seeds, finished, kept_runs, mnist_example, report
from benchmarks.literature_cases import CASES, Case, narrow_weights
from pruning.errors import PruningError
from pruning.granularities import Channels
from pruning.recipe.recipe import Recipe
from pruning.reporting.literature import published
from pruning.selection.amounts import PerLayer, Sparsity
from pruning.training.tuning import Tuning
from pruning.workload import TensorSplit

FIRST = CASES[0]


def run_of(case: Case, seed: int, error: float = 1.5) -> Run:
    names = tuple(recipe.name for recipe in case.seeded(seed))
    return Run(case.network, case.compression, seed, names, error, 1.0, 22183, 22593, 30.0)


def test_the_cases_are_the_networks_of_the_example_and_leave_as_many_weights_as_they_say():
    example, known = mnist_example(), {result.workload for result in published()}
    for case in CASES:
        network = getattr(example, case.module)()
        weights = sum(value.numel() for name, value in network.named_parameters() if name.endswith("weight"))
        assert case.weights == weights and case.network in known
        before = narrow_weights(widths_of(case)) if len(case.recipes) > 1 else weights
        amount = case.recipes[-1].amount
        assert isinstance(amount, Sparsity)
        assert before - round(amount.share * before) == round(weights / case.compression)


def widths_of(case: Case) -> list[int]:
    """Channels that the first recipe leaves in conv1, conv2 and fc1 of LeNet-5."""
    amount = case.recipes[0].amount
    assert isinstance(amount, PerLayer)
    return [units - round(amount.shares[name] * units) for name, units in (("conv1", 20), ("conv2", 50), ("fc1", 500))]


def test_a_narrow_network_has_so_many_weights():
    assert narrow_weights((20, 50, 500)) == 430_500
    assert narrow_weights((1, 1, 1)) == 25 + 25 + 16 + 10


def test_the_report_has_the_mean_with_its_interval_beside_what_is_published():
    runs = [run_of(case, seed, 1.4 + 0.2 * seed) for case in CASES for seed in (0, 1)]
    made = report(runs)
    row, name = made.rows[0], "mnist_lenet_300_100, 12 times fewer weights, 2 seeds: test error (%)"
    assert made.figures[name] == pytest.approx(1.5) and made.targets[name].at_most == FIRST.at_most
    # t(0.975, 1 degree of freedom) is 12.706, the standard error of 1.4 and 1.6 is 0.1
    assert row["test error (%)"] == "1.50 ± 1.27" and row["seeds"] == 2
    assert row["published (%)"] == "1.59 (iterative magnitude pruning, 2015)"
    assert (row["weights left"], row["biases left"]) == (22183, 410)
    assert not made.met and len(made.rows) == len(CASES)


def test_a_second_call_carries_out_what_is_missing_alone(tmp_path: Path):
    asked: list[tuple[float, int]] = []

    def carry_out(case: Case, seed: int) -> Run:
        asked.append((case.compression, seed))
        return run_of(case, seed, 1.0 + seed)

    file = tmp_path / "runs.jsonl"
    first = list(finished(file, CASES[:2], (0,), carry_out))
    with file.open("ab") as lines:
        lines.write(b'\n{"network": "mnist_le')  # the machine was switched off meanwhile
    assert list(finished(file, CASES[:2], (0, 1), carry_out))[:2] == first
    assert asked == [(12, 0), (56, 0), (12, 1), (56, 1)]


def test_what_follows_a_line_that_was_cut_off_can_be_read(tmp_path: Path):
    file = tmp_path / "runs.jsonl"
    file.write_bytes(b'{"network": "mnist_le')
    list(finished(file, CASES[:1], (0,), lambda case, seed: run_of(case, seed)))
    assert kept_runs(file) == [run_of(FIRST, 0)]


def test_a_recipe_that_has_changed_is_carried_out_anew(tmp_path: Path):
    file = tmp_path / "runs.jsonl"
    changed = replace(FIRST, recipes=tuple(replace(r, tuning=replace(r.tuning, epochs=99)) for r in FIRST.recipes))
    list(finished(file, [FIRST], (0,), lambda case, seed: run_of(case, seed)))
    (again,) = finished(file, [changed], (0,), lambda case, seed: run_of(case, seed, 1.1))
    assert again.error == 1.1 and len(kept_runs(file)) == 2


def test_seeds_are_some_of_the_ten(monkeypatch: pytest.MonkeyPatch):
    assert chosen_seeds() == tuple(range(10))
    monkeypatch.setenv("LITERATURE_SEEDS", "0, 3")
    assert chosen_seeds() == (0, 3)
    for wrong in ("10", "a", "0,,1"):
        monkeypatch.setenv("LITERATURE_SEEDS", wrong)
        with pytest.raises(PruningError, match="name some of the seeds 0 to 9, such as 0,1"):
            chosen_seeds()


def test_warped_copies_are_the_same_each_time_and_stay_as_they_are_where_nothing_may_move(
    monkeypatch: pytest.MonkeyPatch,
):
    images = torch.randint(0, 256, (7, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(mnist_pool.warped(images, 1, part=3), mnist_pool.warped(images, 1))
    assert not torch.equal(mnist_pool.warped(images, 1), mnist_pool.warped(images, 2))
    for name in ("TURN", "SCALE", "SHEAR", "SHIFT"):
        monkeypatch.setattr(mnist_pool, name, 0.0)
    assert torch.equal(mnist_pool.warped(images, 1), images)


@pytest.fixture
def train() -> TensorSplit:
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.integers(0, 256, (64, 28, 28), dtype=np.uint8))
    return TensorSplit(images, torch.arange(64) % 10, literature.shades)


def test_the_teacher_answers_once_and_its_answers_are_kept(
    train: TensorSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(mnist_pool, "BATCH", 32)
    monkeypatch.setattr(mnist_pool, "EPOCHS", 1)
    made = mnist_pool.pool(train, tmp_path)
    assert len(made) == 4 * 64 and torch.equal(made.inputs[:128], train.inputs.repeat(2, 1, 1))
    assert torch.equal(made.inputs[192:], mnist_pool.warped(train.inputs, 2))
    assert made.targets.shape == (256, 10) and torch.allclose(made.targets.sum(dim=1), torch.ones(256))
    assert torch.equal(made.targets[:64], made.targets[64:128]) and not torch.equal(
        made.targets[64:], made.targets[:192]
    )
    monkeypatch.setattr(mnist_pool, "taught", None)
    assert torch.equal(mnist_pool.pool(train, tmp_path).targets, made.targets)


def test_recipes_go_one_after_the_other_and_weights_are_counted_without_biases(train: TensorSplit):
    soft = TensorSplit(train.inputs, torch.full((64, 10), 0.1), literature.shades)
    tuning, shares = Tuning(1, "sgd", 0.01, 32), {"conv1": 0.5, "conv2": 0.5, "fc1": 0.84}
    recipes = (
        Recipe(
            "mnist_lenet_5",
            granularity=Channels(),
            amount=PerLayer(shares),
            tuning=tuning,
        ),
        Recipe("mnist_lenet_5", amount=Sparsity(1 - 393 / 39_300), tuning=tuning),
    )
    case = Case("mnist_lenet_5", "LeNet5", 430_500, 430_500 / 393, 1.0, recipes)
    run = carried_out(case, 3, mnist_example(), Digits(soft, train, train))
    assert run.weights == 393
    # biases of the narrow network stay, 10 + 25 + 80 + 10, but for those that were 0
    assert 393 < run.values <= 393 + 125
    assert run.seed == 3 and run.recipes == tuple(recipe.name for recipe in case.seeded(3))
