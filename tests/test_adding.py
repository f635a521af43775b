"""A criterion is one file and one line.

Once in the table it is in the JSON, the CLI, the page and the contract suite.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import pytest
from torch import Tensor, nn
from typer.testing import CliRunner

from pruning.cli.app import make_app
from pruning.criteria import ANY, CRITERIA
from pruning.criteria.calibration import Calibration
from pruning.errors import RecipeError
from pruning.model.layer_types import PRUNABLE
from pruning.model.units import UnitGroup
from pruning.options.constraints import Between
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.recipe.template import commented
from tests.criteria import test_contract
from tests.networks import carried_out, tiny
from tests.views.conftest import InProcess, app, backend, lab
from tests.views.test_lab_page import QUICK, opened

__all__ = ["InProcess", "app", "backend", "lab"]  # fixtures of the page


@dataclass(frozen=True)
class Energy:
    """Sum of the unit's squared weights, to a power. Scores [units]."""

    power: Annotated[int, Between(1, 4)] = 1
    """The power that the sum is raised to."""

    formula: ClassVar[str] = "(Σ w²)^power"
    source: ClassVar[str] = "a test"
    cost: ClassVar[str] = "no pass over data"
    fits: ClassVar[tuple[str, ...]] = ANY
    layers: ClassVar[tuple[str, ...]] = PRUNABLE

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        squares = {name: weight.detach().float().square() for name, weight in model.named_parameters()}
        return {group.name: group.sums(squares) ** self.power for group in groups}


@pytest.fixture(autouse=True)
def energy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CRITERIA, "energy", Energy)


def test_it_becomes_json_and_back():
    recipe = Recipe("m", criterion=Energy(2))
    assert json.loads(to_json(recipe))["criterion"] == {"kind": "energy", "power": 2}
    assert from_json(to_json(recipe)) == recipe
    with pytest.raises(RecipeError, match=r"criterion\.power is 9; it lies between 1 and 4"):
        from_json('{"version": 1, "workload": "m", "criterion": {"kind": "energy", "power": 9}}')


def test_the_command_line_lists_it_and_the_starting_recipe_explains_it():
    printed = CliRunner().invoke(make_app(lambda: None), ["choices", "--json"])  # type: ignore[arg-type]
    row = next(row for row in json.loads(printed.stdout)["criterion"] if row["kind"] == "energy")
    assert row["formula"] == Energy.formula and row["fields"][0]["takes"] == "a whole number from 1 to 4"
    assert "kind energy" in commented(Recipe("conv"), tiny("conv").build())


def test_a_run_uses_it():
    _, result = carried_out(tiny("conv", count=64), replace(QUICK, workload="conv", criterion=Energy()))
    assert result.stages["tuned"].nonzero < result.stages["dense"].nonzero


def test_the_page_offers_it_with_a_control_for_its_field(app):
    opened(app, QUICK)
    app.selectbox(key="criterion").set_value("energy").run()
    assert not app.exception and [error.value for error in app.error] == []
    app.number_input(key="criterion.energy.power").set_value(3).run()
    assert from_json(app.query_params["recipe"]).criterion == Energy(3)
    assert any(Energy.formula in caption.value for caption in app.caption)
    assert app.number_input(key="criterion.energy.power").help == "The power that the sum is raised to."


@pytest.mark.parametrize("granularity", ["weights", "channels", "rnn_gates"])
def test_the_contract_suite_covers_it(granularity):
    test_contract.test_units_of_every_granularity_are_scored_or_a_sentence_says_why_not("energy", granularity)
    test_contract.test_the_model_comes_back_bitwise_as_it_was("energy", granularity, False)
    test_contract.test_a_run_in_two_rounds_ends_with_fewer_units_and_none_comes_back("energy", granularity)
    test_contract.test_every_criterion_says_what_it_is("energy")
