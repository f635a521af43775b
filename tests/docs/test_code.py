"""What the pages show can be typed in: their Python runs, their commands exist, their links lead somewhere."""

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import torch
import typer
from torch import nn

from pruning.__main__ import command_line
from pruning.cli.workload_file import load_workload
from pruning.criteria import CRITERIA
from pruning.run import experiment
from pruning.workload import Workload
from sample_models import MODELS
from tests.docs.pages import DOCS, ROOT, Block, blocks
from tests.own_workload import rescore_here

README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.glob("tutorial/*.md")), *sorted(DOCS.glob("how-to/*.md"))]
EVERY_PAGE = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
COMMANDS = typer.main.get_command(command_line()).commands  # type: ignore[attr-defined]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def readers_own() -> dict[str, Any]:
    """What the README's reader has already: a trained network and three splits of 60 samples."""
    torch.manual_seed(0)
    x, xv, xt = torch.randn(3, 60, 8)
    y, yv, yt = torch.randint(3, (3, 60))
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    return {"model": model, "x": x, "y": y, "xv": xv, "yv": yv, "xt": xt, "yt": yt}


def shortened(make: Callable[[], Workload]) -> Workload:
    """The sample model with its first 400 samples of each split: a page is read in a moment."""
    whole = make()
    splits = {name: getattr(whole, name) for name in ("train", "validation", "test")}
    few = {
        name: replace(split, inputs=split.inputs[:400], targets=split.targets[:400], _resident={})
        for name, split in splits.items()
    }
    return replace(whole, **few)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; what a page puts into tables, modules and generators is taken back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PRUNING_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(experiment, "score_files_afresh", rescore_here)  # the wheel's test does it by a fresh process
    for name, make in list(MODELS.items()):
        monkeypatch.setitem(MODELS, name, partial(shortened, make))
    criteria, modules = dict(CRITERIA), set(sys.modules)
    with torch.random.fork_rng():
        yield tmp_path
    CRITERIA.clear()
    CRITERIA.update(criteria)
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(folder: Path, page: Path) -> Path:
    """The blocks with a title as files, all others as one script in which every line has the number that it has on the
    page.
    """
    lines: list[str] = []
    for block in python_blocks(page):
        if block.file:
            (folder / PurePosixPath(block.file).name).write_text(block.text, encoding="utf-8")
        else:
            lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
    script = folder / f"page_{page.stem.replace('-', '_').lower()}.py"
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return script


def python_blocks(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language == "python"]


@pytest.mark.parametrize("page", [page for page in PAGES if python_blocks(page)], ids=name_of)
def test_the_python_of_a_page_runs(page: Path, folder: Path) -> None:
    script = write(folder, page)
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[script.stem] = module  # a class of the page is looked up there
    if page == README:
        vars(module).update(readers_own())
    spec.loader.exec_module(module)
    for file in {PurePosixPath(block.file).name for block in python_blocks(page) if block.file}:
        if hasattr(importlib.import_module(file.removesuffix(".py")), "workload"):
            load_workload(f"{file}:workload")  # as the command line does


def shell_lines() -> list[tuple[str, str]]:
    """(page, line) of every line of a block that is not code."""
    return [
        (name_of(page), line.partition("#")[0].strip())
        for page in EVERY_PAGE
        for block in blocks(page)
        if block.language in ("", "sh")
        for line in block.text.splitlines()
    ]


def test_every_command_that_a_page_types_exists_with_its_options() -> None:
    typed = 0
    for page, line in shell_lines():
        for call in re.finditer(r"(?:python -m pruning|pruning-explorer) ([a-z]\w*)([^|>]*)", line):
            command = COMMANDS[call[1]]
            known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
            assert set(re.findall(r"(?<!\S)--[\w-]+", call[2])) <= known, (page, line)
            typed += 1
    assert typed > 20


def test_every_module_target_and_file_that_a_page_types_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page, line in shell_lines():
        for module in re.findall(r"python -m ([a-z]\w*(?:\.\w+)*)", line):
            assert importlib.util.find_spec(module) is not None, (page, line)
        for target in re.findall(r"(?:^|\s)make ([a-z-]+)", line):
            assert target in targets, (page, line)
        for file in re.findall(r"pip install -r (\S+)", line):
            assert (ROOT / file).is_file(), (page, line)


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=name_of)
def test_every_link_to_a_file_leads_there(page: Path) -> None:
    """`mkdocs build --strict` does the same for the pages of the site."""
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) < 200
