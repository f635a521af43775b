"""A page's folder is its own: what two pages need lies in `views/shared`, and `shared` knows no page."""

import ast
from pathlib import Path

import pytest

from tests.test_layering import imported

VIEWS = Path(__file__).parents[2] / "views"
PAGES = sorted(path.name for path in VIEWS.iterdir() if path.name != "gallery" and (path / f"{path.name}.py").exists())


def imports_of(source: str, path: str) -> set[str]:
    """Full names of everything that the file imports, from inside functions too."""
    return {name for node in ast.walk(ast.parse(source)) for name in imported(node, path)}


def foreign(source: str, path: str) -> list[str]:
    """Imports from the folder of another page than the file's own."""
    own = Path(path).parent.name
    others = tuple(f"views.{page}" for page in PAGES if page != own)
    return sorted(name for name in imports_of(source, path) if f"{name}.".startswith(tuple(f"{o}." for o in others)))


@pytest.mark.parametrize("page", [*PAGES, "shared"])
def test_no_page_imports_another_pages_folder(page: str) -> None:
    found = {file.name: foreign(file.read_text(), f"views/{page}/{file.name}") for file in (VIEWS / page).glob("*.py")}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_the_pages_are_found_and_a_foreign_import_is_caught() -> None:
    assert {"lab", "compare", "sensitivity", "runs"} <= set(PAGES)
    assert foreign("from views.lab import layer_panel", "views/runs/table.py") == ["views.lab.layer_panel"]
    assert foreign("def f():\n    import views.runs.table", "views/shared/strip.py") == ["views.runs.table"]
    assert foreign("from views.lab import layer_panel", "views/lab/lab.py") == []
    assert foreign("from views import labels", "views/runs/table.py") == []
