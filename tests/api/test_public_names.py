"""Few names, imported when they are used, and each documented with an example that runs."""

import doctest
import subprocess
import sys
from importlib import import_module
from inspect import getdoc, isfunction
from pathlib import Path

import pytest

import pruning
from pruning.errors import PruningError

ROOT = Path(pruning.__file__).parent
FUNCTIONS = [name for name in pruning.__all__ if isfunction(getattr(pruning, name))]


def test_the_promised_names_are_these() -> None:
    assert FUNCTIONS == ["load", "preview", "prune", "scores", "search", "sensitivity"]
    assert all(hasattr(pruning, name) for name in pruning.__all__)
    assert set(pruning.__all__) <= set(dir(pruning))
    assert pruning.PruningError is PruningError


def test_no_folder_or_file_has_a_public_name() -> None:
    """Python sets an imported submodule as an attribute of its package: the function of that name would be gone."""
    inside = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert inside & set(pruning.__all__) == set()


def test_what_is_not_there_is_refused_with_what_is() -> None:
    with pytest.raises(AttributeError, match=r"'prunes'; it has Classification, .*prune, "):
        _ = pruning.prunes  # type: ignore[attr-defined]


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, pruning; pruning.__version__; dir(pruning); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_says_all_that_there_is_to_say(name: str) -> None:
    said = getdoc(getattr(pruning, name)) or ""
    for heading in ("Args:", "Returns:", "Raises:", "Examples:", "Source:"):
        assert f"\n{heading}\n" in said, heading
    told = {line.strip().partition(":")[0] for line in said.partition("Args:")[2].partition("Returns:")[0].splitlines()}
    code = getattr(pruning, name).__code__
    assert set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]) <= told


def test_the_examples_in_the_docstrings_run() -> None:
    """Of every module that has a public name."""
    modules = {import_module(getattr(pruning, name).__module__) for name in pruning.__all__ if name != "__version__"}
    done = [doctest.testmod(module) for module in (pruning, *modules)]
    assert sum(each.failed for each in done) == 0 and sum(each.attempted for each in done) >= 5 * 3


OPTIONAL = ("plotly", "pandas", "jinja2", "cachetools", "tqdm", "cloudpickle", "captum", "streamlit", "typer", "rich")

CORE_ALONE = f"""
import sys
sys.modules.update(dict.fromkeys({OPTIONAL}))
import torch, pruning
from torch import nn
x, y = torch.randn(60, 6), torch.arange(60) % 3
net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
found = pruning.prune(net, train=(x, y), validation=(x, y), test=(x, y), granularity="channels", epochs=1)
print(found)
print(pruning.scores(net)["0"].shape)
print(pruning.sensitivity(net, (x, y), levels=(0.5,)))
save, look = lambda: found.save(sys.argv[1]), lambda: pruning.preview(net)
for ask in (found.table, found.figure, found._repr_html_, save, look):
    try:
        ask()
    except pruning.PruningError as error:
        print("refused:", error)
"""


def test_the_core_needs_none_of_the_extras_and_says_what_brings_them(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CORE_ALONE, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "4 of 8 channels pruned" in done.stdout and "torch.Size([8, 6])" in done.stdout
    refused = [line for line in done.stdout.splitlines() if line.startswith("refused: ")]
    assert len(refused) == 5 and all(line.endswith("pip install 'pruning-explorer[notebook]'") for line in refused)
