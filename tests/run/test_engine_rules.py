"""What a run warns of, refuses, and does when it is stopped."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest
import torch
from torch import Tensor, nn

from pruning.criteria import Magnitude, Taylor
from pruning.errors import PruningError, RecipeError
from pruning.events import Finished, Masked, StageMeasured, SurgeryChecked, TuningStep, Warned
from pruning.granularities import Channels, EmbeddingRows, Weights
from pruning.interactive.queries import look
from pruning.interactive.session import PreviewSession
from pruning.recipe.recipe import Recipe
from pruning.run.engine import prune
from pruning.selection.amounts import PerLayer, Sparsity, Threshold
from pruning.selection.scopes import Global, WithinLayer
from pruning.training.schedules import Polynomial
from pruning.training.tuning import Tuning
from pruning.workload import Classification
from tests.every_granularity import Words, tiny_for
from tests.networks import CLASSES, CPU, VECTOR, Residual, Tied, carried_out, seeded, tiny, workload

CUT_ONLY = Tuning(epochs=0)
QUICK = Tuning(epochs=2, batch_size=32, learning_rate=0.01)


def refused(recipe: Recipe, network: str = "residual") -> str:
    with pytest.raises(RecipeError) as caught:
        carried_out(tiny(network), recipe)
    return str(caught.value)


@pytest.mark.parametrize("amount", [Sparsity(1.0), Threshold(1e6)])
@pytest.mark.parametrize("scope", [Global(), WithinLayer()])
@pytest.mark.parametrize("granularity, units", [(Weights(), 62), (Channels(), 9)])
def test_a_collapse_is_averted_and_told(granularity, units, scope, amount):
    events, result = carried_out(tiny("mlp"), Recipe("mlp", Magnitude(), granularity, scope, amount, tuning=CUT_ONLY))
    assert all(int(stays.sum()) == 1 for stays in result.keep.values())
    left = len(result.keep)
    (warning,) = [event for event in events if isinstance(event, Warned)]
    assert warning.sentence == (
        f"round 1: {units} units were asked to be pruned and {units - left} were, "
        "because every layer keeps at least one"
    )
    (masked,) = [event for event in events if isinstance(event, Masked)]
    assert (masked.asked, masked.pruned) == (units, units - left)


def test_no_warning_where_as_much_is_pruned_as_was_asked():
    events, _ = carried_out(tiny("residual"), Recipe("residual", amount=Sparsity(0.9), tuning=CUT_ONLY))
    assert not any(isinstance(event, Warned) for event in events)


def test_a_layer_is_emptied_when_asked_for_by_name():
    recipe = Recipe("mlp", amount=PerLayer({"2": 1.0}, Sparsity(0.0)), tuning=Tuning(epochs=1, batch_size=64))
    events, result = carried_out(tiny("mlp"), recipe)
    assert int(result.model[2].weight.count_nonzero()) == 0
    assert not any(isinstance(event, Warned) for event in events)


def test_a_layer_of_channels_cannot_be_removed_whole():
    with pytest.raises(RecipeError, match="one of its channels at least has to stay"):
        carried_out(tiny("mlp"), Recipe("mlp", Magnitude(), Channels(), amount=PerLayer({"0": 1.0}), tuning=CUT_ONLY))


class Averaging(Words):
    """Adds the mean of all vectors to each, so that rows of them cannot go."""

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids) + self.head(self.hidden(self.words.weight.mean(dim=0)))


def test_units_that_can_only_be_set_to_zero_where_others_are_removed_are_said_once():
    work = replace(tiny_for("embedding_rows"), build=lambda: seeded(Averaging))
    recipe = Recipe(work.name, Magnitude(), EmbeddingRows(), amount=Sparsity(0.5), tuning=CUT_ONLY)
    events, result = carried_out(work, recipe)
    sentence = (
        "pruned units of 1 of 1 groups are set to zero and not removed: words (the model itself does more with its "
        "weight (mean))"
    )
    assert [event.zeroed for event in events if isinstance(event, SurgeryChecked)] == [sentence] * 2
    assert [event.sentence for event in events if isinstance(event, Warned) and "zero" in event.sentence] == [sentence]
    assert result.stages["tuned"].parameters == result.stages["dense"].parameters
    assert look(PreviewSession({work.name: lambda: work}, CPU), recipe, "score").zeroed == sentence


def test_a_layer_whose_units_are_set_to_zero_can_lose_them_all():
    work = replace(tiny_for("embedding_rows"), build=lambda: seeded(Averaging))
    amount = PerLayer({"words": 1.0})
    _, result = carried_out(work, Recipe(work.name, Magnitude(), EmbeddingRows(), amount=amount, tuning=CUT_ONLY))
    assert not result.model.words.weight.any()


def test_outputs_that_change_with_removal_are_said():
    def build() -> nn.Module:
        return seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3)))

    events, _ = carried_out(workload(build, VECTOR), Recipe("m", Magnitude(), Channels(), tuning=CUT_ONLY))
    checks = [event for event in events if isinstance(event, SurgeryChecked)]
    warnings = [event.sentence for event in events if isinstance(event, Warned)]
    assert all(check.max_difference > 0.01 for check in checks) and len(checks) == len(warnings) == 2
    assert "masked and with units removed differ by up to" in warnings[0]
    assert "for norms and means are taken over the units that are left; the scores" in warnings[0]


def test_outputs_that_change_for_another_reason_are_said_however_small_they_are(monkeypatch):
    class Small(nn.Module):
        """What it gives is less than a thousandth; without a unit it is half of that."""

        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, vectors):
            scale = 1e-5 if self.hidden.out_features == 8 else 5e-6
            return self.head(torch.relu(self.hidden(vectors))) * scale

    monkeypatch.setattr("pruning.model.trial.tried", lambda *_: (_[2], {}))  # as if the trial did not see it
    events, _ = carried_out(
        workload(lambda: seeded(Small), VECTOR), Recipe("m", Magnitude(), Channels(), tuning=CUT_ONLY)
    )
    warnings = [event.sentence for event in events if isinstance(event, Warned)]
    assert "removed differ by up to" in warnings[0] and "for more differs than norms; the scores" in warnings[0]


def test_an_unknown_layer_in_keep_whole_is_named():
    sentence = refused(Recipe("residual", keep_whole=("conv9",)))
    assert sentence.startswith("keep_whole names conv9, which is not a layer; the layers are bn1, bn2, bn3, conv1,")


def test_an_unknown_layer_in_the_shares_is_named():
    sentence = refused(Recipe("residual", amount=PerLayer({"conv9": 0.5})))
    assert sentence == (
        "amount.shares names conv9, which has no weights of its own to prune; "
        "use stem, conv1, conv2, conv3, project, fc"
    )


def test_a_member_of_a_coupled_row_is_named_by_the_row():
    sentence = refused(Recipe("residual", Magnitude(), Channels(), amount=PerLayer({"conv2": 0.5})))
    assert sentence == "amount.shares names conv2, which has no channels of its own to prune; use stem, conv1, conv3"


def test_a_coupled_row_cannot_be_kept_whole_through_one_member_and_cut_through_another():
    recipe = Recipe("residual", Magnitude(), Channels(), amount=PerLayer({"stem": 0.5}), keep_whole=("conv2",))
    assert refused(recipe) == "stem is kept whole and has a share in amount.shares; take it out of one of them"


def test_keeping_one_member_whole_keeps_its_row():
    recipe = Recipe("residual", Magnitude(), Channels(), keep_whole=("conv2",), tuning=CUT_ONLY)
    _, result = carried_out(tiny("residual"), recipe)
    assert result.keep.keys() == {"conv1", "conv3"} and result.model.stem.out_channels == 4


@pytest.mark.parametrize("layers", [("0", "2", "4"), ("0", "2")])
def test_nothing_left_to_prune_is_said(layers):
    granularity = Weights() if len(layers) == 3 else Channels()
    assert "nothing is left to prune" in refused(Recipe("mlp", Magnitude(), granularity, keep_whole=layers), "mlp")


def test_tied_weights_are_pruned_once_and_stay_tied():
    work = workload(lambda: seeded(Tied), VECTOR)
    _, result = carried_out(work, Recipe("m", schedule=Polynomial(2), tuning=QUICK))
    assert result.model.first.weight is result.model.second.weight
    assert int((result.model.first.weight == 0).sum()) + int((result.model.head.weight == 0).sum()) == 27
    assert list(result.model.state_dict()) == list(work.build().state_dict())


def test_a_loss_that_is_not_a_number_ends_the_run_with_a_sentence():
    calls = count()

    class Nan(Classification):
        def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
            return super().loss(model, batch) * (torch.nan if next(calls) > 2 else 1.0)

    work = replace(tiny("mlp"), task=Nan(CLASSES))
    with pytest.raises(
        PruningError, match=r"the loss became nan while tuning; lower tuning\.learning_rate \(it is 0\.01\)"
    ):
        carried_out(work, Recipe("mlp", tuning=QUICK))


class Regression:
    """The first output should be the target."""

    classes = ()

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return (model(batch[0])[:, 0] - batch[1]).square().mean()

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return (-(output[:, 0] - target).abs()).exp()


@pytest.mark.parametrize("granularity", [Weights(), Channels()])
def test_a_task_without_classes_runs_too(granularity):
    work = tiny("mlp")
    splits = {name: replace(split, targets=split.targets.float()) for name, split in
              (("train", work.train), ("validation", work.validation), ("test", work.test))}  # fmt: skip
    events, result = carried_out(
        replace(work, task=Regression(), **splits), Recipe("m", Taylor(), granularity, tuning=QUICK)
    )
    assert events[0].classes == result.stages["tuned"].class_scores == ()
    assert 0 < result.stages["tuned"].score < 1


def after(calls: int) -> Callable[[], bool]:
    """Says stop from the given call on."""
    asked = iter(range(10**9))
    return lambda: next(asked) >= calls


@pytest.mark.parametrize("calls", [0, 1, 2, 4, 9])
@pytest.mark.parametrize("granularity", [Weights(), Channels()])
def test_stopping_keeps_what_there_is_by_then(granularity, calls):
    recipe = Recipe("conv_bn", Magnitude(), granularity, WithinLayer(), schedule=Polynomial(3), tuning=QUICK)
    events, result = carried_out(tiny("conv_bn"), recipe, after(calls))
    assert result.stopped and result.stages.keys() == {"dense", "pruned", "tuned"}
    assert isinstance(events[-1], StageMeasured) and events[-1].stage == "tuned"
    assert sum(isinstance(event, TuningStep) for event in events) < 3 * 2 * 4
    masked = [event for event in events if isinstance(event, Masked)]
    assert sum(int((~stays).sum()) for stays in result.keep.values()) == (masked[-1].pruned if masked else 0)
    assert not result.model.training and (calls > 0) == bool(masked)
    if masked and not granularity.removable:
        zeros = sum(int((result.model.get_submodule(name).weight == 0).sum()) for name in result.keep)
        assert zeros == masked[-1].pruned


def test_a_stop_between_rounds_keeps_the_share_of_the_first():
    recipe = Recipe("conv", amount=Sparsity(0.8), schedule=Polynomial(4, 1), tuning=CUT_ONLY)
    _, result = carried_out(tiny("conv"), recipe, after(1))
    zeros = sum(int((result.model.get_submodule(name).weight == 0).sum()) for name in result.keep)
    assert zeros == round(0.25 * round(0.8 * 312))


@pytest.mark.parametrize("calls", range(1, 90, 8))
def test_a_stop_within_scoring_tuning_or_evaluating_keeps_a_whole_round(calls):
    recipe = Recipe("conv", Taylor(), amount=Sparsity(0.8), schedule=Polynomial(4, 1), tuning=QUICK)
    events, result = carried_out(tiny("conv"), recipe, after(calls))
    zeros = sum(int((result.model.get_submodule(name).weight == 0).sum()) for name in result.keep)
    pruned = sum(int((~stays).sum()) for stays in result.keep.values())
    masked = [event for event in events if isinstance(event, Masked)]
    assert result.stopped and zeros == pruned == masked[-1].pruned > 0
    assert len(masked) < 4 or not [e for e in events if isinstance(e, TuningStep) and e.step == 40]


def test_what_were_pruned_in_one_round_stays_pruned_in_the_next_whatever_its_new_score(monkeypatch):
    draw = torch.Generator().manual_seed(0)

    def scores_anew(_criterion, _model, groups, _calibration):
        return {group.name: torch.rand(group.units, generator=draw) for group in groups}

    monkeypatch.setattr("pruning.run.context.unit_scores", scores_anew)
    recipe = Recipe("conv", amount=Sparsity(0.6), schedule=Polynomial(4, 1), tuning=CUT_ONLY)
    _, result = carried_out(tiny("conv"), recipe)
    # a weight that came back would be kept and yet be zero: more zeros than have been pruned
    zeros = sum(int((result.model.get_submodule(name).weight == 0).sum()) for name in result.keep)
    assert zeros == sum(int((~stays).sum()) for stays in result.keep.values()) == round(0.6 * 312)


def test_a_run_that_is_not_stopped_says_so():
    _, result = carried_out(tiny("mlp"), Recipe("mlp", tuning=QUICK))
    assert not result.stopped


@pytest.mark.parametrize("events", [0, 1, 3, 6])
def test_closing_cancels_without_a_word(events):
    run = prune(tiny("mlp"), Recipe("mlp", schedule=Polynomial(3), tuning=QUICK), CPU)
    for _ in range(events):
        next(run)
    run.close()
    assert next(run, Finished) is Finished


def test_frozen_layers_are_left_out_and_stay():
    def build() -> nn.Module:
        model = seeded(Residual)
        model.conv2.weight.requires_grad_(False)
        return model

    before = build().conv2.weight
    _, result = carried_out(workload(build, (2, 8, 8)), Recipe("m", amount=Sparsity(0.8), tuning=QUICK))
    assert "conv2" not in result.keep and torch.equal(before, result.model.conv2.weight)
