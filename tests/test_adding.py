"""A criterion is one file and one line. The example of the documentation is the one that is added here.

Once in the table it is in the JSON, the CLI and the page; and it keeps the contract, as somebody's own would.
"""

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pruning.cli.app import make_app
from pruning.criteria import CRITERIA, Criterion
from pruning.errors import RecipeError
from pruning.granularities import GRANULARITIES
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.recipe.template import commented
from pruning.testing import CriterionContract
from tests.every_granularity import tiny_for
from tests.networks import carried_out, tiny
from tests.views.conftest import InProcess, app, backend, lab
from tests.views.test_lab_page import QUICK, opened

__all__ = ["InProcess", "app", "backend", "lab"]  # fixtures of the page

ROOT = Path(__file__).resolve().parent.parent
PYTHON_BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def the_documented_example() -> str:
    """The one block of Python in README or docs that writes the criterion."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    blocks = [block for page in pages for block in PYTHON_BLOCK.findall(page.read_text(encoding="utf-8"))]
    (example,) = [block for block in blocks if "class Energy" in block]
    return example


@pytest.fixture(scope="module")
def energy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[Criterion]]:
    """The documented class, in the table; written to a file first, for help is read from the source."""
    file = tmp_path_factory.mktemp("added") / "added_energy.py"
    file.write_text(the_documented_example(), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("added_energy", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "added_energy", module)
        spec.loader.exec_module(module)
        patch.setitem(CRITERIA, "energy", module.Energy)
        yield module.Energy


def test_it_becomes_json_and_back(energy):
    recipe = Recipe("m", criterion=energy(2))
    assert json.loads(to_json(recipe))["criterion"] == {"kind": "energy", "power": 2}
    assert from_json(to_json(recipe)) == recipe
    with pytest.raises(RecipeError, match=r"criterion\.power is 9; it lies between 1 and 4"):
        from_json('{"version": 1, "workload": "m", "criterion": {"kind": "energy", "power": 9}}')


def test_the_command_line_lists_it_and_the_starting_recipe_explains_it(energy):
    printed = CliRunner().invoke(make_app(dict, lambda *_: None), ["choices", "--json"])  # type: ignore[arg-type]
    row = next(row for row in json.loads(printed.stdout)["criterion"] if row["kind"] == "energy")
    assert row["formula"] == energy.formula and row["fields"][0]["takes"] == "a whole number from 1 to 4"
    assert "kind energy" in commented(Recipe("conv"), tiny("conv").build())


def test_a_run_uses_it(energy):
    _, result = carried_out(tiny("conv", count=64), replace(QUICK, workload="conv", criterion=energy()))
    assert result.stages["tuned"].nonzero < result.stages["dense"].nonzero


def test_the_page_offers_it_with_a_control_for_its_field(energy, app):
    opened(app, QUICK)
    app.selectbox(key="criterion").set_value("energy").run()
    assert not app.exception and [error.value for error in app.error] == []
    app.number_input(key="criterion.energy.power").set_value(3).run()
    assert from_json(app.query_params["recipe"]).criterion == energy(3)
    assert any(energy.formula in caption.value for caption in app.caption)
    assert app.number_input(key="criterion.energy.power").help == "The power that the sum is raised to."


class TestEnergy(CriterionContract):
    @pytest.fixture(autouse=True, params=["weights", "channels", "rnn_gates"])
    def case(self, request: pytest.FixtureRequest, energy: type[Criterion]) -> None:
        self.criterion, self.granularity = energy(power=2), GRANULARITIES[request.param]()
        self.workload = tiny_for(request.param)
