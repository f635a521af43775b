"""Smoothed labels and mixed images, by hand; and what is refused because it has no cross entropy."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.errors import RecipeError
from pruning.recipe.recipe import Recipe
from pruning.training.fine_tuning import tune
from pruning.training.objective import mixed, require_objective, task_loss
from pruning.training.tuning import Tuning
from pruning.workload import Classification
from tests.networks import CPU, carried_out, tiny

TASK = Classification(("a", "b"))
BATCH = (torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([0]))
"""One sample whose logits, by a network that changes nothing, say 3/4 and 1/4."""


def test_a_smoothed_label_is_spread_over_all_classes():
    plain, _ = task_loss(TASK, nn.Identity(), BATCH, Tuning())
    assert float(plain) == pytest.approx(math.log(4 / 3))
    smooth, seen = task_loss(TASK, nn.Identity(), BATCH, Tuning(label_smoothing=0.5))
    # the target is 3/4 and 1/4 then
    assert float(smooth) == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4))
    assert seen[0] is BATCH[0] and seen[1] is BATCH[1]


def test_mixed_images_cost_what_both_targets_cost():
    inputs, targets = torch.randn(6, 2), torch.tensor([0, 1, 0, 1, 1, 0])
    torch.manual_seed(3)
    found, (seen, first) = task_loss(TASK, nn.Identity(), (inputs, targets), Tuning(mixup=0.4))
    torch.manual_seed(3)
    read, others, share = mixed(inputs, targets, 0.4)
    assert 0.0 < share < 1.0 and torch.equal(seen, read) and torch.equal(first, targets)
    partners = [
        next(j for j in range(6) if torch.allclose(r, share * x + (1 - share) * inputs[j]))
        for r, x in zip(read, inputs, strict=True)
    ]
    assert sorted(partners) == list(range(6)) and torch.equal(others, targets[partners])
    each = F.log_softmax(read, dim=1)
    wanted = -(share * each[range(6), targets] + (1 - share) * each[range(6), others]).mean()
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)


def test_shares_are_drawn_from_the_beta_distribution():
    torch.manual_seed(0)
    pair = torch.zeros(2, 1), torch.zeros(2, dtype=torch.long)
    shares = torch.tensor([mixed(*pair, alpha)[2] for alpha in [0.2] * 2000])
    # mean 1/2, variance 1 / (4 (2 alpha + 1))
    assert float(shares.mean()) == pytest.approx(0.5, abs=0.03) and float(shares.min()) >= 0.0
    assert float(shares.var()) == pytest.approx(1 / 5.6, abs=0.01)


@pytest.mark.parametrize("how", [{"label_smoothing": 0.3}, {"mixup": 0.5}, {"label_smoothing": 0.1, "mixup": 0.2}])
def test_either_changes_what_is_learnt_and_the_seed_decides_it(how):
    work, ends = tiny("conv_bn"), list[dict[str, Tensor]]()
    for tuning, seed in (
        (Tuning(batch_size=64), 0),
        (Tuning(batch_size=64, **how), 0),
        (Tuning(batch_size=64, **how), 0),
    ):
        model = work.build()
        torch.rand(len(ends) + 1)
        list(tune(model, work, tuning, {}, CPU, seed))
        ends.append(model.state_dict())
    assert all(torch.equal(ends[1][name], ends[2][name]) for name in ends[1])
    assert not torch.allclose(ends[0]["0.weight"], ends[1]["0.weight"], atol=1e-4)


class Focal(Classification):
    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return super().loss(model, batch) ** 2


class Lenient(Classification):
    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return torch.ones(len(target))


@pytest.mark.parametrize(
    "how, said", [({"label_smoothing": 0.1}, "label_smoothing is 0.1"), ({"mixup": 0.2}, "mixup is 0.2")]
)
def test_a_loss_of_its_own_is_refused_before_any_work(how, said):
    work = replace(tiny("mlp"), task=Focal(("a", "b", "c")))
    recipe = Recipe("m", tuning=Tuning(batch_size=64, **how))
    with pytest.raises(
        RecipeError, match=rf"tuning\.{said}, and the task of mlp has a loss of its own: .* set it to 0"
    ):
        carried_out(work, recipe)
    require_objective(work, Tuning())
    require_objective(replace(work, task=Lenient(("a", "b", "c"))), Tuning(**how))
    carried_out(work, replace(recipe, tuning=replace(recipe.tuning, epochs=0)))  # nothing is tuned


def test_whole_numbers_are_not_mixed():
    work = replace(tiny("mlp"), example=torch.zeros(1, 6, dtype=torch.long))
    with pytest.raises(RecipeError, match=r"tuning\.mixup is 0\.2, and the inputs of mlp are int64: only numbers"):
        require_objective(work, Tuning(mixup=0.2))
    require_objective(work, Tuning(label_smoothing=0.2))
