"""The page's process computes nothing: torch lives in the workers."""

import subprocess
import sys
from pathlib import Path

VIEWS = Path(__file__).parents[2] / "views"
PAGES = {f"{page}.{page}" for page in ("lab", "compare", "sensitivity", "runs", "server", "gallery")}
"""Scripts that Streamlit executes: what they import is in the other files, or is imported by their first lines."""


def test_nothing_that_the_pages_import_brings_torch() -> None:
    files = sorted(path.relative_to(VIEWS).with_suffix("") for path in VIEWS.rglob("*.py") if path.stem[0] != "_")
    names = [".".join(file.parts) for file in files]
    script = "import importlib, sys\n" + "".join(
        f"importlib.import_module('views.{name}')\n" for name in names if name not in PAGES
    )
    script += "print(sorted({'torch', 'captum'} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=VIEWS.parent, check=True)
    assert found.stdout.strip() == "[]"
