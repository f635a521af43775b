"""What an import brings with it. Recipes, events, questions, the store and the pages do without torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

LIGHT = (
    "pruning",
    "pruning.cli.app",
    "pruning.criteria",
    "pruning.errors",
    "pruning.evaluation.estimate",
    "pruning.events",
    "pruning.execution.call_queue",
    "pruning.execution.error_messages",
    "pruning.execution.ipc",
    "pruning.execution.local_backend",
    "pruning.execution.ray_cluster.store_proxy",
    "pruning.execution.settings",
    "pruning.execution.store.store",
    "pruning.execution.supervisor",
    "pruning.granularities",
    "pruning.interactive.queries",
    "pruning.interactive.responses",
    "pruning.layer_sensitivity.result",
    "pruning.model.descriptions",
    "pruning.model.layer_types",
    "pruning.options.constraints",
    "pruning.pipeline.comparison",
    "pruning.recipe.catalog",
    "pruning.recipe.compatibility",
    "pruning.recipe.recipe",
    "pruning.recipe.template",
    "pruning.reporting.run_history",
    "pruning.reporting.run_summary",
    "pruning.selection.amounts",
    "pruning.selection.scopes",
    "pruning.training.schedules",
    "pruning.training.tuning",
    "sample_models",
)
"""What is imported without torch, and without the page's and the optional libraries."""

HEAVY = ("torch", "captum", "torch_pruning", "streamlit", "pandas", "pyarrow", "scipy", "ray")

DRAWING = (
    "pruning.reporting.plots_run",
    "pruning.reporting.plots_runs",
    "pruning.reporting.plots_sensitivity",
    "views.launch",
)
"""What draws or serves the page: it has Plotly and Streamlit, and no torch."""

NOT_ON_THE_PAGE = ("torch", "captum", "torch_pruning", "pandas", "pyarrow", "altair", "scipy", "ray")
"""What the page's process does without, until something is shown that needs it."""


BROUGHT = """
import sys
for module in {modules!r}:
    __import__(module)
    found = [name for name in {names!r} if name in sys.modules]
    if found:
        print(module, *found)
        break
"""


def brought_by(modules: tuple[str, ...], names: tuple[str, ...]) -> list[str]:
    """The first of the modules with which a fresh interpreter imports one of the names, and which; empty if none."""
    code = BROUGHT.format(modules=modules, names=names)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_plain_values_are_imported_without_torch_and_the_page():
    assert brought_by(LIGHT, HEAVY) == []


def test_what_the_page_draws_with_is_imported_without_torch():
    assert brought_by(DRAWING, NOT_ON_THE_PAGE) == []


def test_what_is_heavy_is_seen():
    assert brought_by(("pruning.errors", "pruning.model.units"), HEAVY) == ["pruning.model.units", "torch"]


def imported_at_once(path: Path) -> Iterator[str]:
    """Full names of what a file imports as soon as it is imported itself: not in functions, not for type checkers."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def test_no_page_imports_torch_at_once_however_far_away():
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for folder in ("views", "pruning", "sample_models")
        for path in (ROOT / folder).rglob("*.py")
    }
    pages = {name for name in modules if name.split(".")[0] == "views"}
    seen, waiting = set[str](), list(pages)
    while waiting:
        name = waiting.pop()
        for full in imported_at_once(modules[name]):
            assert full.split(".")[0] not in NOT_ON_THE_PAGE, f"{name} imports {full}"
            parts = full.split(".")
            new = {".".join(parts[:end]) for end in range(1, len(parts) + 1)} & modules.keys() - seen
            seen |= new
            waiting += new
    assert {"pruning.interactive.queries", "sample_models", "pruning.criteria.taylor"} <= seen


def test_no_module_of_ours_has_a_name_of_the_standard_library():
    """Whoever starts Python in its folder would get ours: `import subprocess` imports `select`, for one."""
    ours = [
        path.relative_to(ROOT)
        for folder in ("pruning", "views", "sample_models", "benchmarks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix == ".py" or path.is_dir()
    ]
    assert [str(path) for path in ours if path.stem in sys.stdlib_module_names] == []
    assert Path("pruning/execution/store/store.py") in ours
