"""requirements*.txt are the exact versions of what pyproject.toml declares, and what is imported is declared."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement

from pruning.__main__ import EXTRAS
from tests.packaging.installed import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"pruning", "views", "sample_models"}
PINS_OF = {
    "requirements.txt": ("app", "attribution", "notebook"),
    "requirements-dev.txt": ("app", "attribution", "notebook", "dev"),
    "requirements-ray.txt": ("app", "attribution", "notebook", "ray"),
}
"""Requirements file -> the extras whose packages it pins, beside the dependencies of the core."""

DISTRIBUTIONS = {"torch_pruning": "torch-pruning", "webview": "pywebview", "google": "protobuf"}
"""Import name -> the name that a package is installed by, where the two differ."""


def pins(file: str) -> dict[str, str]:
    """Package -> version, of the file and of those that it includes."""
    found: dict[str, str] = {}
    for line in (ROOT / file).read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("-r"):
            found |= pins(line.removeprefix("-r").strip())
        elif line:
            pin = Requirement(line)
            (version,) = pin.specifier
            assert version.operator == "==", f"{file}: {line} is not one exact version"
            found[pin.name] = version.version
    return found


def declared(*extras: str) -> dict[str, Requirement]:
    """Package -> its requirement, of the core and of these extras with the extras that they include."""
    found = {r.name: r for r in map(Requirement, PROJECT["dependencies"])}
    for extra in extras:
        for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
            if requirement.name == PROJECT["name"]:
                found |= declared(*requirement.extras)
            elif requirement.marker is None or requirement.marker.evaluate():
                found[requirement.name] = requirement
    return found


@pytest.mark.parametrize("file", PINS_OF)
def test_every_pin_is_a_version_that_pyproject_admits(file: str) -> None:
    everything = declared(*PROJECT["optional-dependencies"])
    for package, version in pins(file).items():
        assert package in everything, f"{file} pins {package}, which pyproject.toml does not declare"
        assert everything[package].specifier.contains(version), f"{everything[package]} does not admit {version}"


@pytest.mark.parametrize("file", PINS_OF)
def test_every_declared_package_is_pinned(file: str) -> None:
    assert set(declared(*PINS_OF[file])) <= set(pins(file))


def test_what_is_missing_is_named_with_the_extra_that_brings_it() -> None:
    for module, extra in EXTRAS.items():
        assert DISTRIBUTIONS.get(module, module) in declared(extra)


def imported_packages() -> Iterator[tuple[str, str]]:
    """Where and what: every import of a package that is neither ours nor Python's."""
    for folder in sorted(OURS):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module or ""]
                for package in {name.partition(".")[0] for name in names} - OURS - sys.stdlib_module_names:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", package


def test_every_imported_package_is_declared() -> None:
    found = list(imported_packages())
    assert {"torch", "streamlit", "typer"} <= {package for _, package in found}
    everything = declared(*PROJECT["optional-dependencies"])
    missing = [(where, package) for where, package in found if DISTRIBUTIONS.get(package, package) not in everything]
    assert missing == []


def test_a_run_imports_only_what_the_core_declares() -> None:
    extras = {DISTRIBUTIONS.get(module, module): module for _, module in imported_packages()}
    optional = sorted(module for package, module in extras.items() if package not in declared())
    assert {"plotly", "streamlit", "typer"} <= set(optional)
    code = f"import sys\nfor name in {optional}: sys.modules[name] = None\nimport pruning.run.experiment"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
