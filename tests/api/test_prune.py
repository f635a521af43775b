"""Five lines, as a user calls them."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from torch import Tensor

import pruning
from pruning.api import result as results
from pruning.errors import ExportError, WorkloadError
from pruning.recipe.recipe import Recipe
from pruning.run import experiment
from pruning.run.engine import prune as engine_prune
from pruning.selection.amounts import Sparsity
from pruning.training.tuning import Tuning
from pruning.workload import Workload
from tests.api.small import data, small
from tests.own_workload import rescore_here

CPU = torch.device("cpu")
SPLITS = {"train": data(2), "validation": data(3), "test": data(4)}


def pruned(**choices: Any) -> pruning.PruningResult:
    return pruning.prune(small(), **{**SPLITS, "epochs": 1, "device": "cpu", "progress": False, **choices})


@pytest.fixture(scope="module")
def result() -> pruning.PruningResult:
    return pruned(sparsity=0.5, criterion="taylor", granularity="channels")


def test_channels_are_removed_and_the_model_runs(result: pruning.PruningResult) -> None:
    assert result.model.hidden.out_features == 8 and not result.model.training
    assert result.model(data(4)[0]).shape == (120, 3)


def test_the_table_holds_what_was_measured(result: pruning.PruningResult) -> None:
    table = result.table()
    assert isinstance(table, pd.DataFrame) and list(table.index) == ["dense", "pruned", "tuned"]
    assert table.loc["tuned", "test_score"] == result.stages["tuned"].score
    assert list(table["parameters"]) == [6 * 16 + 16 + 16 * 3 + 3, 83, 83]
    with torch.no_grad():
        x, y = data(4)
        assert table.loc["tuned", "test_score"] == pytest.approx(float((result.model(x).argmax(1) == y).float().mean()))


def test_the_figure_is_the_reports(result: pruning.PruningResult) -> None:
    figure = result.figure()
    assert isinstance(figure, go.Figure)
    assert len(next(trace for trace in figure.data if trace.name == "while tuning").x) == 2  # the cut, and one epoch


def test_the_result_shows_itself(result: pruning.PruningResult) -> None:
    said, drawn = repr(result), result._repr_html_()
    assert said.startswith("8 of 16 channels pruned in ") and "accuracy, test" in said
    assert drawn.count("<table") == 1 and drawn.count("<polyline") == 2 and "validation accuracy" in drawn


def test_the_given_model_stays_as_it_is() -> None:
    model = small().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pruning.prune(model, **SPLITS, granularity="channels", epochs=1, progress=False)
    assert model.training and all(module.training for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())


def test_what_the_caller_does_to_the_model_later_changes_no_result() -> None:
    model = small()
    found = pruning.prune(model, **SPLITS, epochs=0, device="cpu", progress=False)
    model.hidden.weight.data.zero_()
    assert torch.equal(found.workload.build().hidden.weight, small().hidden.weight)


def test_random_numbers_of_the_caller_go_on_as_if_nothing_had_happened() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    pruned()
    assert torch.equal(torch.rand(2), expected)


def test_equal_calls_give_equal_models_and_another_seed_another() -> None:
    small_batches = Tuning(epochs=1, batch_size=20)
    first, second, other = (pruned(seed=seed, epochs=None, tuning=small_batches) for seed in (1, 1, 2))
    assert torch.equal(first.model.hidden.weight, second.model.hidden.weight)
    assert not torch.equal(first.model.hidden.weight, other.model.hidden.weight)


def test_a_recipe_and_a_workload_give_what_the_engine_gives() -> None:
    recipe = Recipe("any", amount=Sparsity(0.75), tuning=Tuning(epochs=1))
    found = pruned(epochs=None, recipe=recipe)
    again = pruning.prune(found.workload, recipe=recipe, device="cpu", progress=False)
    torch.manual_seed(0)
    events = engine_prune(found.workload, found.recipe, CPU)
    while True:
        try:
            next(events)
        except StopIteration as end:
            expected = end.value
            break
    for one in (found, again):
        assert torch.equal(one.model.hidden.weight, expected.model.hidden.weight)
        assert one.stages == expected.stages and one.recipe.workload == one.workload.name


class Interrupting:
    """A split that presses Ctrl-C so many times at the first batch of training."""

    def __init__(self, inputs: Tensor, targets: Tensor, times: int) -> None:
        self.split, self.left = pruning.TensorSplit(inputs, targets), times

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, index: Tensor, device: torch.device, generator: torch.Generator | None = None) -> Any:
        while generator is not None and self.left:
            self.left -= 1
            signal.raise_signal(signal.SIGINT)
        return self.split.batch(index, device, generator)


def test_an_interrupt_keeps_what_there_is() -> None:
    handler = signal.getsignal(signal.SIGINT)
    found = pruned(train=Interrupting(*data(2), times=1), epochs=1000)
    assert found.stopped and "stopped early" in repr(found)
    assert list(found.stages) == ["dense", "pruned", "tuned"]
    assert float((found.model.hidden.weight == 0).float().mean()) > 0.3  # the cut had been made
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_interrupt_ends_the_run() -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        pruned(train=Interrupting(*data(2), times=2))
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_note_is_also_a_warning() -> None:
    with pytest.warns(UserWarning, match="every layer keeps at least one"):
        found = pruned(sparsity=1.0, granularity="channels")
    assert found.notes and found.notes[0] in repr(found) and "keeps at least one" in found._repr_html_()


def test_a_progress_bar_is_drawn_only_if_it_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    pruned(progress=False)
    assert capsys.readouterr().err == ""
    pruned(progress=True)
    assert "100%" in capsys.readouterr().err


def test_without_tqdm_nothing_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    pruned(progress=True)
    assert capsys.readouterr().err == ""


def test_saved_files_hold_the_model_and_say_what_was_verified(
    result: pruning.PruningResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment, "score_files_afresh", rescore_here)
    saved = result.save(tmp_path / "new")
    assert saved.verified is not None and saved.verified.same and saved.notes == ()
    assert "Verified: loaded in a fresh process" in repr(saved) and saved.stages["exported"] == result.stages["tuned"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "model.pt", "model.safetensors", "recipe.json", "report.html",
    ]  # fmt: skip
    for kind in ("safetensors", "pt"):
        loaded = pruning.load(saved.files[kind], small(seed=9))
        assert torch.equal(loaded(data(4)[0]), result.model(data(4)[0]))
    assert len(result.events) == len(tuple(result.events)) and "exported" not in result.stages  # saving changes nothing


def test_what_could_not_be_verified_is_said(
    result: pruning.PruningResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise ExportError("it took too long")

    monkeypatch.setattr(experiment, "score_files_afresh", refused)
    with pytest.warns(UserWarning, match="not verified: it took too long; the files are kept"):
        saved = result.save(tmp_path)
    assert saved.verified is None and "Not verified" in repr(saved) and "it took too long" in repr(saved)
    assert isinstance(saved, results.Saved) and Path(saved.files["safetensors"]).is_file()


def test_a_folder_that_cannot_be_written_is_refused(result: pruning.PruningResult, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="file"):
        result.save(tmp_path / "file" / "below")


def test_a_file_of_another_model_is_refused(tmp_path: Path) -> None:
    torch.save(small().state_dict(), tmp_path / "m.pt")
    with pytest.raises(WorkloadError, match=r"m\.pt: the file and model differ in the tensors"):
        pruning.load(tmp_path / "m.pt", torch.nn.Sequential(torch.nn.Linear(6, 3)))


NOTEBOOK = '''
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar
import torch
from torch import nn
import pruning

class Typed(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(6, 16), nn.Linear(16, 3)
    def forward(self, x):
        return self.out(torch.relu(self.hidden(x)))

class Pairs(torch.utils.data.Dataset):
    def __init__(self, seed):
        generator = torch.Generator().manual_seed(seed)
        self.x, self.y = torch.randn(90, 6, generator=generator), torch.arange(90) % 3
    def __len__(self):
        return 90
    def __getitem__(self, at):
        return self.x[at], self.y[at]

@dataclass(frozen=True)
class Energy:
    """Squares of weights."""
    power: int = 2
    formula: ClassVar[str] = "w^p"
    source: ClassVar[str] = "typed in"
    cost: ClassVar[str] = "no pass over data"
    fits: ClassVar = ("any",)
    layers: ClassVar = ("any",)
    def score(self, model, groups, calibration):
        return {g.name: g.sums({p: model.get_parameter(p).detach().abs() ** self.power for p in g.params})
                for g in groups}

result = pruning.prune(Typed(), train=Pairs(1), validation=Pairs(2), test=Pairs(3), sparsity=0.5,
                       criterion=Energy(power=4), granularity="channels", epochs=1, progress=False)
saved = result.save(OUT)
print(saved)
print(open(saved.files["recipe"]).read())
from pruning.recipe.reference import tables
print([kind.kind for kind in tables()["criterion"]])
'''


def test_what_was_typed_into_a_notebook_ends_verified_in_a_fresh_process(tmp_path: Path) -> None:
    """The code comes from standard input: its classes are in no file, as in a notebook."""
    code = NOTEBOOK.replace("OUT", repr(str(tmp_path / "out")))
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Verified: loaded in a fresh process" in done.stdout, done.stdout + done.stderr
    assert '"kind": "energy"' in done.stdout and '"power": 4' in done.stdout and "'energy'" in done.stdout


def test_a_workload_is_accepted_as_it_is(result: pruning.PruningResult) -> None:
    assert isinstance(result.workload, Workload)
    assert pruning.preview(result.workload, sparsity=0.5, granularity="channels").pruned == 8
