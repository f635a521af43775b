"""The wheel holds all that is needed, and what it installs works outside the repository."""

import json
import subprocess
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import pruning
from tests.browser.conftest import free_port
from tests.packaging import installed, page_client
from tests.packaging.installed import ROOT, Installed

PACKAGES = ("pruning", "views", "sample_models")
NEEDED = [
    "pruning/py.typed",
    "pruning/exporters/report.html.jinja",
    "sample_models/data/LICENSE",
    "sample_models/data/train-images-idx3-ubyte.gz",
    "sample_models/weights/fashion_cnn.safetensors",
    "views/app.py",
    "views/settings.toml",
    "views/lab/layers.css",
    "views/lab/layers.js",
    "views/shared/elements.js",
]

LIBRARY = """
import torch
import pruning

model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
inputs = torch.randn(600, 8, generator=torch.Generator().manual_seed(0))
train, validation, test = ((part, (part[:, 0] > 0).long()) for part in inputs.split(200))
result = pruning.prune(model, train=train, validation=validation, test=test, sparsity=0.5, granularity="channels")
print(sum(p.numel() for p in model.parameters()), sum(p.numel() for p in result.model.parameters()))
result.table(), result.figure()
saved = result.save("saved")
assert saved.verified is not None and saved.verified.same
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def explorer(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return installed.install(wheel, tmp_path_factory.mktemp("outside"))


@pytest.fixture(scope="module")
def address(explorer: Installed) -> Iterator[str]:
    """Of the page, started by the entry point in a folder without any settings."""
    port = free_port()
    command = [explorer.command, "app", "--headless", "--port", str(port)]
    with (explorer.folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=explorer.folder, env=explorer.environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.wait(20)


def files_of_the_packages() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == files_of_the_packages()
    assert packed >= set(NEEDED)


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    assert wheel.name == f"pruning_explorer-{pruning.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        about = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name}
    assert "pruning-explorer = pruning.__main__:main" in about["entry_points.txt"]
    assert "License-Expression: MIT" in about["METADATA"] and "MIT" in about["LICENSE"]


def test_what_is_installed_is_not_the_repository(explorer: Installed) -> None:
    find = (
        "from importlib.util import find_spec; print(*(find_spec(p).origin for p in ('pruning', 'views')), sep='\\n')"
    )
    for file in explorer.run(explorer.python, "-c", find).splitlines():
        assert Path(file).is_relative_to(explorer.scripts.parent)


def test_the_models_are_listed(explorer: Installed) -> None:
    listed = json.loads(explorer.run(explorer.command, "models", "--json"))
    assert "fashion_cnn" in [model["name"] for model in listed]


def test_the_library_prunes_in_five_lines(explorer: Installed) -> None:
    dense, pruned = explorer.run(explorer.python, "-c", LIBRARY).splitlines()[-1].split()
    assert (int(dense), int(pruned)) == (8 * 32 + 32 + 32 * 2 + 2, 8 * 16 + 16 + 16 * 2 + 2)
    assert (explorer.folder / "saved" / "report.html").exists()


def test_the_page_opens_and_its_first_script_run_shows_the_layers(address: str, explorer: Installed) -> None:
    wait_until_healthy(address, explorer.folder / "server.log")
    shown = page_client.first_script_run(address)
    assert shown["exceptions"] == []
    assert {"slider", "pruning_layers", "pruning_heatmap"} <= set(shown["elements"])
    assert shown["colour"] == "#0072B2"  # views/settings.toml holds in a folder that has no settings


def wait_until_healthy(address: str, log: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            assert urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).read() == b"ok"
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())
