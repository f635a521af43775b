"""The lines that a report prints, run as they are in a fresh process that has torch and the person's own file."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from pruning.cli.workload_file import load_workload, source_of
from pruning.exporters import Record, export, kinds_of
from pruning.exporters.snippet import loading_snippet
from pruning.exporters.workload_source import Called
from pruning.granularities import GRANULARITIES
from pruning.model.module_sizes import sizes_between
from pruning.model.preparation import open_model
from pruning.model.surgery import remove_units
from pruning.model.units import Keep
from pruning.recipe.recipe import Recipe
from pruning.workload import Classification, TensorSplit, Workload
from tests import architectures
from tests.networks import CPU
from tests.own_workload import SOURCE, write_own

ROOT = Path(__file__).resolve().parents[2]

NETS = '''

from torch.nn.utils import parametrizations, prune


class Chain(nn.Module):
    """Two convolutions and a head; in train mode a second head is added."""

    def __init__(self, first=lambda layer: layer, second=lambda layer: layer):
        super().__init__()
        self.conv1, self.bn = first(nn.Conv2d(2, 6, 3, padding=1)), nn.BatchNorm2d(6)
        self.body = nn.Sequential(second(nn.Conv2d(6, 4, 3)), nn.ReLU())
        self.head, self.auxiliary = nn.Linear(4, 3), nn.Linear(6, 3)

    def forward(self, images):
        maps = F.relu(self.bn(self.conv1(images)))
        output = self.head(self.body(maps).mean(dim=(2, 3)))
        return output + self.auxiliary(maps.mean(dim=(2, 3))) if self.training else output


class Gated(nn.Module):
    """Half of what the first layer gives gates the other half; the sizes of the halves are numbers of the module."""

    def __init__(self):
        super().__init__()
        self.half, self.parts = 4, (4, 4)
        self.fc1, self.fc2, self.fc3 = nn.Linear(5, 8), nn.Linear(4, 8), nn.Linear(4, 3)

    def forward(self, inputs):
        values, gates = self.fc1(inputs).split(self.half, dim=1)
        values, gates = self.fc2(values * torch.sigmoid(gates)).split(self.parts, dim=1)
        return self.fc3(values * torch.sigmoid(gates))


class Scaled(nn.Module):
    """A scale of its own between two layers, each with a weight of its own."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.scale = nn.Linear(5, 6), nn.Linear(6, 3), nn.Parameter(torch.randn(6))

    def forward(self, inputs):
        return self.fc2(F.relu(self.fc1(inputs)) * self.scale)


class Blurred(nn.Module):
    """A filter for every channel in a buffer that is in no state dict."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.head = nn.Conv2d(2, 6, 3), nn.Conv2d(6, 4, 1), nn.Linear(4, 3)
        self.channels = 6
        self.register_buffer("filters", torch.arange(6 * 4.0).reshape(6, 1, 2, 2) / 9, persistent=False)

    def forward(self, images):
        maps = F.conv2d(F.relu(self.conv1(images)), self.filters, groups=self.channels)
        return self.head(F.relu(self.conv2(maps)).mean(dim=(2, 3)))


class Transformer(nn.Module):
    """Of four heads two are left: torch's fast path takes even numbers."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 4, 12, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, steps):
        return self.head(self.layer(steps).mean(dim=1))


class InTuples(nn.Module):
    """Blocks that give what they did beside what they made of it."""

    def __init__(self):
        super().__init__()
        self.blocks, self.head = nn.ModuleList(Beside() for _ in range(3)), nn.Linear(5, 3)

    def forward(self, inputs):
        for block in self.blocks:
            inputs, _ = block(inputs)
        return self.head(inputs)


class Beside(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 5)

    def forward(self, inputs):
        return inputs + self.fc(inputs), self.fc.weight


class Fitted(Gated):
    """A class that can be made in any size, and says how."""

    @classmethod
    def fitting(cls, tensors):
        model = cls()
        model.fc1 = nn.Linear(*reversed(tensors["fc1.weight"].shape))
        model.fc2 = nn.Linear(*reversed(tensors["fc2.weight"].shape))
        model.fc3 = nn.Linear(*reversed(tensors["fc3.weight"].shape))
        model.load_state_dict(tensors)
        return cls.sized(model, len(tensors["fc1.weight"]) // 2, len(tensors["fc2.weight"]) // 2)

    @staticmethod
    def sized(model, half, part):
        model.half, model.parts = half, (part, part)
        return model


class Forgetful(Fitted):
    """Its maker forgets the numbers."""

    @staticmethod
    def sized(model, half, part):
        return model


class Versioned(Scaled):
    """Asks whoever loads it for the version of the tensors, which a plain dict of them does not say."""

    _version = 2

    def _load_from_state_dict(self, tensors, prefix, metadata, *others):
        if metadata.get("version") != 2:
            raise ValueError("version should be set")
        super()._load_from_state_dict(tensors, prefix, metadata, *others)


def old_weight_norm():
    return Chain(nn.utils.weight_norm, nn.utils.weight_norm)


def new_weight_norm():
    return Chain(parametrizations.weight_norm, parametrizations.spectral_norm)


def spectral_norm():
    return Chain(nn.utils.spectral_norm, lambda layer: prune.l1_unstructured(layer, "weight", 0.5))


def parallel():
    model = Chain()
    model.body = nn.DataParallel(model.body)
    return nn.DataParallel(model)
'''

VECTOR, STEPS, WORDS = (5,), architectures.ARCHITECTURES["lstm"].shape, (5,)
IMAGE = architectures.IMAGE

CASES: dict[str, tuple[str, str, tuple[int, ...], str]] = {
    "cut": ("Chain", "channels", IMAGE, "a third"),
    "only masked": ("Chain", "channels", IMAGE, "nothing"),
    "old weight_norm": ("old_weight_norm", "channels", IMAGE, "a third"),
    "new weight_norm": ("new_weight_norm", "channels", IMAGE, "a third"),
    "spectral_norm and prune": ("spectral_norm", "channels", IMAGE, "a third"),
    "spectral_norm, masked": ("spectral_norm", "channels", IMAGE, "nothing"),
    "DataParallel": ("parallel", "channels", IMAGE, "a third"),
    "numbers of its own": ("Gated", "channels", VECTOR, "a third"),
    "a parameter of its own": ("Scaled", "channels", VECTOR, "a third"),
    "a class with a version": ("Versioned", "channels", VECTOR, "a third"),
    "a class with a version, masked": ("Versioned", "channels", VECTOR, "nothing"),
    "a buffer in no state dict": ("Blurred", "channels", IMAGE, "a third"),
    "made by its own class": ("Fitted", "channels", VECTOR, "a third"),
    "not made by its own class": ("Forgetful", "channels", VECTOR, "a third"),
    "depthwise": ("Separable", "channels", IMAGE, "a third"),
    "grouped": ("Grouped", "channels", IMAGE, "a third"),
    "group norm": ("GroupNormed", "channels", IMAGE, "half"),
    "equal LSTM": ("LSTMClassifier", "rnn_units", STEPS, "a third"),
    "unequal LSTM": ("LSTMClassifier", "rnn_units", STEPS, "more and more"),
    "heads": ("Encoder", "heads", STEPS, "half"),
    "even heads": ("Transformer", "heads", (5, 8), "half"),
    "tied": ("LanguageModel", "channels", WORDS, "a third"),
    "blocks": ("LanguageModel", "layers", WORDS, "half"),
    "blocks that give two outputs": ("InTuples", "layers", VECTOR, "a third"),
    "rows": ("GRUTagger", "embedding_rows", WORDS, "half"),
}
"""Name -> what builds the network, what is removed, the shape of an input, and how much of every group."""

SCRIPT = """
import os, sys, torch

for folder in sys.argv[1:]:
    os.chdir(folder)
    sys.path[0] = folder
    sys.modules.pop("narrow_layers", None)
    space = {}
    exec(compile(open("snippet.py").read(), folder + "/snippet.py", "exec"), space)
    expected, model = torch.load("expected.pt", weights_only=True), space["model"]
    for mode, (inputs, output) in expected.items():
        with torch.no_grad():
            found = model.train(mode == "train")(inputs)
        assert torch.allclose(found, output, atol=1e-5), (folder, mode)
    assert space["output"].shape == output[:1].shape
    print(os.path.basename(folder), *sorted(name for name in sys.modules if name in ("pruning", "narrow_layers")))
"""


class AnyShape(Classification):
    """Takes outputs of any shape: here nobody looks at a score."""

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return super().judge(output.flatten(1), target)


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A person's own file of classes, which needs torch alone."""
    folder = tmp_path_factory.mktemp("person")
    (folder / "nets.py").write_text(Path(architectures.__file__).read_text() + NETS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield importlib.import_module("nets")
        del sys.modules["nets"]


def _keep(groups: list, much: str) -> Keep:
    shares = {"nothing": 0.0, "a third": 1 / 3, "half": 0.5}
    gone = {group.name: int(group.units * shares.get(much, number / 4 + 0.25)) for number, group in enumerate(groups)}
    return {group.name: torch.arange(group.units) >= gone[group.name] for group in groups}


def _exported(nets: ModuleType, case: str, folder: Path) -> Record:
    """The files of a run in the folder, with the snippet and what the network gives in both modes."""
    build, granularity, shape, much = CASES[case]
    draw = torch.Generator().manual_seed(1)
    words = build in ("LanguageModel", "GRUTagger")
    inputs = torch.randint(7, (4, *shape), generator=draw) if words else torch.randn(4, *shape, generator=draw)
    split = TensorSplit(inputs, torch.zeros(4, dtype=torch.long))
    work = Workload(case, getattr(nets, build), inputs[:1], split, split, split, AnyShape(("a", "b", "c")))
    model = open_model(work, CPU)
    groups = GRANULARITIES[granularity]().sorted_out(model, work.example)[0]
    small = remove_units(model, work.example, groups, _keep(groups, much))
    return _written(Record(work, Recipe(case), small, "cpu", (), sizes_between(model, small), work), inputs, folder)


def _written(record: Record, inputs: Tensor, folder: Path) -> Record:
    folder.mkdir()
    for kind in kinds_of(record):
        if kind in ("safetensors", "narrow_layers"):
            export(kind, record, folder)
    (folder / "snippet.py").write_text(loading_snippet(record, record.workload.build()))
    modes = ("eval", "train") if "auxiliary.weight" in record.model.state_dict() else ("eval",)
    with torch.no_grad():
        expected = {mode: (inputs, record.model.train(mode == "train")(inputs)) for mode in reversed(modes)}
    torch.save(expected, folder / "expected.pt")
    return record


def _run(folders: list[Path], *paths: Path) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, *map(str, folders)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def _of_own_file(folder: Path, name: str) -> Record:
    """A run of a workload file whose build() is a lambda, so that only the workload gives the model."""
    work = load_workload(write_own(folder, SOURCE.replace('"own", build,', '"own", lambda: build(),'), name))
    model = open_model(work, CPU)
    groups = GRANULARITIES["channels"]().sorted_out(model, work.example)[0]
    small = remove_units(model, work.example, groups, _keep(groups, "half"))
    source = source_of(f"{folder}/own.py:{name}")
    return Record(work, Recipe("own"), small, "cpu", (), sizes_between(model, small), source)


def test_the_snippet_makes_the_network_of_the_run(nets: ModuleType, tmp_path: Path) -> None:
    torch.manual_seed(0)
    records = {case: _exported(nets, case, tmp_path / case) for case in CASES}
    own = _of_own_file(tmp_path, "make")
    _written(own, own.workload.test.batch(torch.arange(4), CPU)[0], tmp_path / "own file")
    (tmp_path / "own.py").rename(tmp_path / "own file" / "own.py")

    printed = _run([tmp_path / case for case in (*CASES, "own file")], Path(str(nets.__file__)).parent, ROOT)
    narrow = {"unequal LSTM", "heads", "even heads", "blocks", "blocks that give two outputs", "rows"}
    expected = [f"{case} narrow_layers" if case in narrow else case for case in CASES]
    assert printed == [*expected, "own file pruning"]  # whose file imports it
    for case, record in records.items():
        text = (tmp_path / case / "snippet.py").read_text()
        assert text.count("\n") < 32, case
        assert (tmp_path / case / "narrow_layers.py").exists() == (case in narrow)
        whole = CASES[case][1] in ("layers", "embedding_rows")  # what is left of these has the sizes that it had
        assert bool(record.sizes.numbers) == (CASES[case][3] != "nothing" and not whole), case
        assert ("Fitted.fitting(load_file(" in text) == (case == "made by its own class"), case
    assert records["numbers of its own"].sizes.numbers[""] == {"half": 3, "parts": [3, 3]}
    assert records["a buffer in no state dict"].sizes.buffers == ("filters",)


def test_a_model_is_made_by_what_made_it_for_the_run(tmp_path: Path) -> None:
    def making(record: Record) -> list[str]:
        lines = loading_snippet(record, record.workload.build()).splitlines()
        return [line for line in lines if line.startswith(("model = ", "from own", "from sample"))]

    run = _of_own_file(tmp_path, "make")
    assert making(run) == ["from own import make", "model = make().build()"]
    ready = _of_own_file(tmp_path, "ready")
    assert making(ready) == ["from own import ready", "model = ready.build()"]
    called = replace(run, source=Called("sample_models", "workload", ("mlp_128",)))
    assert making(called) == ["from sample_models import workload", "model = workload('mlp_128').build()"]
    assert making(replace(run, source=run.workload)) == ["model = ...  # your Small, made as before it was pruned"]
    (function,) = (value for name, value in vars(_module_of(run)).items() if name == "build")
    by_function = replace(run, workload=replace(run.workload, build=function))
    assert making(by_function) == ["from own import build", "model = build()"]


def _module_of(run: Record) -> ModuleType:
    return sys.modules[type(run.model).__module__]
