"""What would keep everybody who uses the worker waiting is refused, with what would not; worked out by hand."""

import pytest

from pruning.criteria import Ablation, Taylor
from pruning.errors import PatienceError
from pruning.granularities import Channels
from pruning.interactive import session
from pruning.interactive.queries import look
from pruning.interactive.session import PreviewSession
from pruning.recipe.recipe import Recipe
from tests.networks import CPU, tiny

MACS = 6 * 5 + 5 * 4 + 4 * 3
PASSES = 10 * (5 + 4)  # ten samples for each channel, but not for the three classes


def ask(recipe: Recipe) -> None:
    look(PreviewSession({"mlp": lambda: tiny("mlp", count=20)}, CPU), recipe, "score")


def test_ablation_costs_a_pass_of_every_sample_for_every_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe("mlp", Ablation(samples=10), Channels())
    monkeypatch.setattr(session, "MOST_MACS", PASSES * MACS)
    ask(recipe)
    monkeypatch.setattr(session, "MOST_MACS", PASSES * MACS - 1)
    with pytest.raises(
        PatienceError, match=rf"send {PASSES} samples through the network, .* lower its samples to 9 or"
    ):
        ask(recipe)


def test_other_criteria_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "MOST_MACS", 0)
    ask(Recipe("mlp", Taylor(), Channels()))
