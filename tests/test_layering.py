"""Imports point one way, and nothing that runs code from a file is called. Every file is parsed; none is run."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PAGE = ("streamlit", "views")
ROOTS = ("pruning/__main__.py", "pruning/execution/worker_main.py")
"""The two that may know the sample models. The command line may start the page too."""

FLOORS = (
    ("errors",),
    ("durations", "metric", "sliced_work"),
    ("events", "files", "options", "workload"),
    ("model",),
    ("criteria", "evaluation", "granularities", "repair", "selection", "training"),
    ("recipe",),
    ("pipeline", "sweeps"),
    ("layer_sensitivity",),
    ("level_search",),
    ("halving",),
    ("interactive",),
    ("reporting",),
    ("exporters",),
    ("run",),
    ("api", "execution"),
    ("cli",),
    ("testing",),
)
"""The rooms of `pruning/`, its folders and single files, from the bottom up: each may import from floors below its own.

`pruning/__main__.py` and `pruning/__init__.py` stand above all of them.
"""

HOSTILE_CALLS = ("torch.export.load", "torch.jit.load")
HOSTILE_ARGUMENTS = (("weights_only", "False"), ("allow_pickle", "True"))

UNPICKLE = (
    "pickle.load", "pickle.loads", "pickle.Unpickler", "_pickle.loads", "cloudpickle.load", "cloudpickle.loads",
    "dill.load", "dill.loads", "joblib.load", "marshal.load", "marshal.loads", "shelve.open", "torch.load",
    "numpy.load",
)  # fmt: skip
TRUSTED = {
    "pickle.loads": (
        "pruning/execution/call_queue.py",  # the program's own processes, by pipes that nobody else has
        "pruning/execution/call_worker.py",
        "pruning/execution/ray_cluster/actor.py",
        "pruning/execution/ray_cluster/store_proxy.py",
        "pruning/exporters/workload_source.py",  # the workload of who started the run
        "pruning/interactive/shared_answers.py",  # in a folder of the server's own workers
    ),
    "torch.load": (
        "pruning/exporters/reading.py",  # files that the run has just written
        "pruning/files/state_dict_task.py",  # in the limited child
        "pruning/run/checkpoints.py",  # the run's own, tensors and named classes alone
        "benchmarks/hostile_victim.py",  # files that were accepted
    ),
    "numpy.load": ("examples/mnist_lenet.py",),  # allow_pickle is False if nothing is said
}
"""Where something is unpickled, and why that may be. No other file of ours does."""


def violations(root: Path) -> list[str]:
    """A line `file:line: what` for each import that points upwards and each call that would run a file's code."""
    return [f"{path}:{line}: {what}" for path in sources(root) for line, what in wrong(root / path, path)]


def sources(root: Path) -> list[str]:
    """Every Python file but the tests and what lies in hidden folders, relative to the root."""
    paths = sorted(path.relative_to(root) for path in root.rglob("*.py"))
    return [
        path.as_posix()
        for path in paths
        if path.parts[0] not in ("tests", "mutants") and not any(p.startswith(".") for p in path.parts)
    ]


def wrong(file: Path, path: str) -> Iterator[tuple[int, str]]:
    tree = ast.parse(file.read_text(encoding="utf-8"), path)
    names = dict(bindings(tree, path))
    for node in ast.walk(tree):
        for module in imported(node, path):
            if any(module == far or module.startswith(f"{far}.") for far in forbidden(path)) or upwards(path, module):
                yield node.lineno, f"imports {module}"
            if banned(module, path):
                yield node.lineno, f"takes {module}"
        if isinstance(node, ast.Attribute) and banned(dotted(node, names), path):
            yield node.lineno, f"takes {dotted(node, names)}"
        if isinstance(node, ast.keyword) and (node.arg, ast.unparse(node.value)) in HOSTILE_ARGUMENTS:
            yield node.value.lineno, f"passes {node.arg}={ast.unparse(node.value)}"


def banned(name: str, path: str) -> bool:
    """Whether the function runs or may run what a file holds, and the file is not one that may call it."""
    return name in HOSTILE_CALLS or (name in UNPICKLE and path not in TRUSTED.get(name, ()))


def forbidden(path: str) -> tuple[str, ...]:
    """What the file may not import."""
    if path.startswith("sample_models/"):
        return (*PAGE, "pruning.execution")
    if not path.startswith("pruning/"):
        return ()
    if path == "pruning/__main__.py":
        return ("streamlit",)
    return PAGE if path in ROOTS else (*PAGE, "sample_models")


def upwards(path: str, module: str) -> bool:
    """Whether a file in a room of `pruning/` imports from another room that is not on a floor below its own."""
    floors = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
    if room_of(path) not in floors or not module.startswith("pruning."):
        return False
    room = module.split(".")[1]
    return room != room_of(path) and floors.get(room, len(FLOORS)) >= floors[room_of(path)]


def room_of(path: str) -> str:
    """The folder or single file of `pruning/` that the file lies in; empty for files of other folders."""
    top, _, rest = path.partition("/")
    return rest.partition("/")[0].removesuffix(".py") if top == "pruning" else ""


def circle(root: Path) -> list[str]:
    """Modules of one room that import each other in a circle, the first such circle; empty where there is none."""
    modules = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in sources(root)}
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        taken = [full for node in ast.walk(ast.parse((root / path).read_text())) for full in imported(node, path)]
        # `from a.b import c` takes the module a.b.c, or a name of the module a.b
        taken = [full if full in modules else full.rpartition(".")[0] for full in taken]
        graph[name] = {other for other in taken if other in modules and room_of(modules[other]) == room_of(path)}
        graph[name] -= {name}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def imported(node: ast.AST, path: str) -> list[str]:
    """Full names of what the statement imports, from inside functions and under TYPE_CHECKING too."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        here = list(Path(path).parent.parts)
        parts = here[: len(here) - node.level + 1] if node.level else []
        module = ".".join([*parts, *([node.module] if node.module else [])])
        return [f"{module}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("import_module", "__import__"):
            return [str(node.args[0].value)]
    return []


def bindings(tree: ast.AST, path: str) -> Iterator[tuple[str, str]]:
    """Local name -> the full name that it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias, full in zip(node.names, imported(node, path), strict=True):
                if alias.asname or isinstance(node, ast.ImportFrom):
                    yield alias.asname or alias.name, full
                else:
                    yield full.split(".")[0], full.split(".")[0]


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, names)}.{node.attr}"
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else "?"


def test_imports_point_one_way_and_no_file_is_let_run_code():
    assert violations(ROOT) == []


def test_every_file_that_is_trusted_is_there_and_unpickles():
    for name, paths in TRUSTED.items():
        for path in paths:
            tree = ast.parse((ROOT / path).read_text())
            names = dict(bindings(tree, path))
            assert any(isinstance(node, ast.Attribute) and dotted(node, names) == name for node in ast.walk(tree)), path


def test_every_folder_is_looked_at():
    seen = sources(ROOT)
    assert {path.split("/")[0] for path in seen} >= {"pruning", "sample_models", "views"}
    assert {"pruning/run/engine.py", "pruning/criteria/taylor.py", *ROOTS} <= set(seen)
    assert not any(path.startswith(("tests/", ".venv/")) for path in seen)


def test_every_room_has_a_floor_and_only_one():
    rooms = [room for floor in FLOORS for room in floor]
    assert len(rooms) == len(set(rooms))
    assert {room_of(path) for path in sources(ROOT)} - {"", "__init__", "__main__"} <= set(rooms)


def test_no_modules_of_one_room_import_each_other_in_a_circle():
    assert circle(ROOT) == []


@pytest.mark.parametrize("late", ["from pruning.room.a import f", "def g():\n    from pruning.room import a"])
def test_a_circle_is_found(tmp_path, late):
    room = tmp_path / "pruning/room"
    room.mkdir(parents=True)
    (room / "a.py").write_text("from pruning.room.b import g")
    (room / "b.py").write_text("from pruning.room.c import h")
    (room / "c.py").write_text("import pruning.errors")
    assert circle(tmp_path) == []
    (room / "c.py").write_text(late)
    assert {"pruning.room.a", "pruning.room.b", "pruning.room.c"} == set(circle(tmp_path))


@pytest.mark.parametrize("upper", range(1, len(FLOORS)))
def test_no_floor_imports_from_itself_or_from_above(tmp_path, upper):
    below, above = FLOORS[upper - 1][0], FLOORS[upper][0]
    file = tmp_path / "pruning" / below / "new.py"
    file.parent.mkdir(parents=True)
    file.write_text(f"if TYPE_CHECKING:\n    from pruning.{above} import thing")
    assert violations(tmp_path) == [f"pruning/{below}/new.py:2: imports pruning.{above}.thing"]
    for other in FLOORS[upper - 1][1:]:
        file.write_text(f"from pruning.{other}.things import thing")
        assert violations(tmp_path) == [f"pruning/{below}/new.py:1: imports pruning.{other}.things.thing"]
    file.unlink()
    right = tmp_path / "pruning" / above / "new.py"
    right.parent.mkdir(parents=True)
    right.write_text(f"from pruning.{below} import thing\nfrom pruning.{above}.things import other")
    assert violations(tmp_path) == []


@pytest.mark.parametrize(
    "path, source, what",
    [
        ("pruning/model/units.py", "from pruning import prune", "imports pruning.prune"),
        ("pruning/model/units.py", "import streamlit as st", "imports streamlit"),
        ("pruning/criteria/new.py", "from views.lab.lab import page", "imports views.lab.lab.page"),
        ("pruning/model/units.py", "def f():\n    import views", "imports views"),
        ("pruning/model/units.py", "from sample_models import MODELS", "imports sample_models.MODELS"),
        ("pruning/model/units.py", "if TYPE_CHECKING:\n    import views.lab.lab", "imports views.lab.lab"),
        ("pruning/model/units.py", "from importlib import import_module as i\nimport_module('views')", "imports views"),
        ("pruning/criteria/new.py", "from ..execution import store", "imports pruning.execution.store"),
        ("pruning/run/engine.py", "import pruning.execution.local_backend", "imports pruning.execution.local_backend"),
        ("pruning/run/engine.py", "from pruning import execution", "imports pruning.execution"),
        ("pruning/api/prune_model.py", "import pruning.execution.ipc", "imports pruning.execution.ipc"),
        ("pruning/execution/backends.py", "import pruning.cli.app", "imports pruning.cli.app"),
        ("pruning/execution/local_backend.py", "import sample_models", "imports sample_models"),
        ("pruning/execution/worker_main.py", "import streamlit", "imports streamlit"),
        ("pruning/__main__.py", "import streamlit", "imports streamlit"),
        ("sample_models/new.py", "import streamlit", "imports streamlit"),
        ("sample_models/new.py", "from views import lab", "imports views.lab"),
        ("views/lab/lab.py", "import torch\ntorch.export.load('x')", "takes torch.export.load"),
        ("views/lab/lab.py", "import torch.jit as j\nload = j.load", "takes torch.jit.load"),
        ("views/lab/lab.py", "from torch import export as e\ne.load('x')", "takes torch.export.load"),
        ("pruning/exporters/loading.py", "from torch.jit import load", "takes torch.jit.load"),
        ("pruning/run/checkpoints.py", "import torch\ntorch.load(f, weights_only=False)", "passes weights_only=False"),
        ("examples/mnist_lenet.py", "import numpy\nnumpy.load('x', allow_pickle=True)", "passes allow_pickle=True"),
        ("pruning/files/new.py", "import pickle\npickle.loads(b'')", "takes pickle.loads"),
        ("views/runs/new.py", "from pickle import loads as l\nl(b'')", "takes pickle.loads"),
        ("pruning/execution/call_queue.py", "import pickle\npickle.load(file)", "takes pickle.load"),
        ("pruning/cli/new.py", "import torch\ntorch.load('x', weights_only=True)", "takes torch.load"),
        ("app.py", "import numpy as np\nnp.load('x')", "takes numpy.load"),
        ("pruning/cli/new.py", "import cloudpickle\ncloudpickle.loads(b'')", "takes cloudpickle.loads"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_caught(tmp_path, path, source, what):
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)
    (found,) = violations(tmp_path)
    assert found.startswith(f"{path}:") and found.endswith(what)


@pytest.mark.parametrize(
    "path, source",
    [
        ("pruning/__main__.py", "from sample_models import MODELS\nfrom pruning.execution.store.store import Store"),
        ("pruning/__main__.py", "def page():\n    from views.launch import launch"),
        ("pruning/execution/worker_main.py", "import sample_models\nfrom pruning.execution.ipc import SocketLink"),
        ("pruning/execution/local_backend.py", "from .store import Store"),
        ("views/lab/lab.py", "import streamlit\nfrom pruning.execution import ipc\nfrom sample_models import MODELS"),
        ("sample_models/new.py", "from pruning.workload import Workload\nfrom sample_models import shipped"),
        ("pruning/exporters/reading.py", "import torch\ntorch.load('x', weights_only=True)"),
        ("pruning/execution/call_worker.py", "import pickle\npickle.loads(pickle.dumps(3))"),
        ("pruning/application.py", "import viewsets\nfrom pruning import viewed"),
        ("tests/test_x.py", "import torch\ntorch.load('x', weights_only=False)"),
        (".venv/x.py", "import torch\ntorch.jit.load('x')"),
    ],
)  # fmt: skip
def test_a_right_line_is_let_pass(tmp_path, path, source):
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)
    assert violations(tmp_path) == []
