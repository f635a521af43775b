"""An interrupted run that goes on ends with the same bits as one that nobody disturbed, and tells the same."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pruning.cli.workload_file import load_workload, source_of
from pruning.criteria import BatchnormScale, Magnitude, Taylor
from pruning.errors import ExportError, PruningError
from pruning.events import (
    Event,
    Exported,
    Finished,
    Measured,
    Resumed,
    Started,
    TuningStep,
    Warned,
    event_from_dict,
)
from pruning.exporters.workload_source import Called
from pruning.granularities import Channels, Heads, Weights
from pruning.recipe.recipe import Recipe, from_json
from pruning.repair import Block, LeastSquares
from pruning.run import checkpoints
from pruning.run import experiment as runs
from pruning.run.checkpoints import FILE, Checkpoint, CheckpointError
from pruning.run.engine import PruneResult, prune
from pruning.run.experiment import RunResult, carry_out
from pruning.run.state import RunState
from pruning.selection.amounts import Sparsity, Zeros
from pruning.selection.scopes import Global, WithinLayer
from pruning.training.distillation import Features, Logits, Outputs
from pruning.training.fine_tuning import Training, tune
from pruning.training.regularisers import L1, BatchNormScale, HardConcrete, SoftMovement
from pruning.training.rewinds import DrawAnew, RewindWeights
from pruning.training.schedules import Polynomial, PolynomialDecay, RigL, Until
from pruning.training.starts import Scratch
from pruning.training.tuning import Tuning
from pruning.workload import Classification, Workload
from tests.architectures import IMAGE as VIT_IMAGE
from tests.architectures import ViT
from tests.networks import CPU, VECTOR, conv_bn, mlp, seeded, tiny, workload
from tests.own_workload import recipe_text, rescore_here, write_own

TWO_EPOCHS = Tuning(epochs=2, batch_size=64, learning_rate=0.02)
"""Ten steps: 300 samples in batches of 64."""


def dropping() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 3))


def noisy(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Augmentation that draws from the training's generator and, as careless code does, from the global one."""
    return inputs + 0.1 * torch.randn(inputs.shape, generator=generator) + 0.1 * torch.randn(inputs.shape)


def varied() -> Workload:
    work = workload(lambda: seeded(dropping), VECTOR)
    return replace(work, train=replace(work.train, augment=noisy))


class Drawing(Classification):
    """Evaluates by lot which of the right answers count."""

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return super().judge(output, target) * (torch.rand(len(target)) > 0.1)


def drawing() -> Workload:
    """Building the network draws from the global generator, and so does evaluating."""
    work = workload(lambda: seeded(mlp), VECTOR)

    def build() -> nn.Module:
        torch.rand(3)
        return work.build()

    return replace(work, build=build, task=Drawing(work.task.classes))


def trained() -> Workload:
    """A network that has learnt something, so that a cut costs accuracy."""
    work = tiny("conv_bn")
    model = work.build()
    list(tune(model, work, Tuning(epochs=12, batch_size=32, learning_rate=0.02), {}, CPU, 0))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def build() -> nn.Module:
        fresh = seeded(conv_bn)
        fresh.load_state_dict(state)
        return fresh.eval()

    return replace(work, build=build)


def taught_by_another() -> Workload:
    """Building the teacher draws from the global generator."""

    def wide() -> nn.Module:
        torch.rand(5)
        return seeded(lambda: nn.Sequential(nn.Linear(6, 30), nn.ReLU(), nn.Dropout(0.5), nn.Linear(30, 3)), 9)

    return replace(drawing(), teachers={"wide": wide})


DECAY = PolynomialDecay(0.2, 2, 8, 3)
"""Cuts at steps 2, 5 and 8: one of them between two epochs, the others within one."""

CASES: dict[str, tuple[Workload, Recipe]] = {
    "one_shot, adamw, weights": (tiny("mlp"), Recipe("m", tuning=TWO_EPOCHS)),
    "polynomial, sgd, channels": (
        tiny("residual"),
        Recipe(
            "m",
            Taylor(),
            Channels(),
            WithinLayer(),
            schedule=Polynomial(2),
            tuning=replace(TWO_EPOCHS, optimiser="sgd"),
        ),
    ),
    "polynomial, adamw, channels, divided scores": (
        tiny("conv_bn"),
        Recipe("m", Taylor(), Channels(), Global("mean"), schedule=Polynomial(3), tuning=TWO_EPOCHS, seed=5),
    ),
    "polynomial_decay, dropout, augmentation": (varied(), Recipe("m", Taylor(), schedule=DECAY, tuning=TWO_EPOCHS)),
    "polynomial_decay, sgd, a part of the images": (
        varied(),
        Recipe("m", schedule=DECAY, tuning=Tuning(2, "sgd", 0.02, batch_size=32, images_per_epoch=160)),
    ),
    "polynomial, heads": (
        workload(lambda: seeded(ViT), VIT_IMAGE, count=64),
        Recipe(
            "m", Magnitude(), Heads(), WithinLayer(), schedule=Polynomial(2), tuning=replace(TWO_EPOCHS, batch_size=32)
        ),
    ),
    "until, taken back": (
        trained(),
        Recipe("m", Magnitude(), Weights(), WithinLayer(), Sparsity(0.9), Until(0.05, 4), TWO_EPOCHS),
    ),
    "building and evaluating draw": (drawing(), Recipe("m", schedule=Polynomial(2), tuning=TWO_EPOCHS)),
    "repaired, weights": (
        tiny("conv"),
        Recipe("m", schedule=Polynomial(2), tuning=TWO_EPOCHS, repair=LeastSquares(samples=64)),
    ),
    "repaired in blocks, channels": (
        tiny("residual"),
        Recipe("m", Taylor(), Channels(), tuning=TWO_EPOCHS, schedule=Polynomial(2), repair=Block(samples=64, steps=5)),
    ),
    "averaged, cosine, channels": (
        tiny("conv_bn"),
        Recipe(
            "m", Taylor(), Channels(), schedule=Polynomial(2), tuning=replace(TWO_EPOCHS, average=0.9, curve="cosine")
        ),
    ),
    "polynomial_decay, averaged, smoothed, mixed": (
        varied(),
        Recipe(
            "m",
            schedule=DECAY,
            tuning=replace(TWO_EPOCHS, average=0.9, label_smoothing=0.1, mixup=0.4, curve="linear", momentum=0.8),
        ),
    ),
    "patience, averaged": (
        trained(),
        Recipe(
            "m",
            Taylor(),
            Channels(),
            amount=Sparsity(0.4),
            schedule=Polynomial(2),
            tuning=replace(TWO_EPOCHS, epochs=5, learning_rate=0.5, average=0.5, patience=2),
        ),
    ),
    "distilled, logits, dropout, augmentation": (
        varied(),
        Recipe("m", schedule=DECAY, tuning=replace(TWO_EPOCHS, mixup=0.4), distillation=Logits(2.0, 0.7)),
    ),
    "distilled, features, channels": (
        tiny("residual"),
        Recipe("m", Taylor(), Channels(), schedule=Polynomial(2), tuning=TWO_EPOCHS, distillation=Features(3)),
    ),
    "distilled by another network": (
        taught_by_another(),
        Recipe("m", schedule=Polynomial(2), tuning=TWO_EPOCHS, distillation=Outputs(teacher="wide")),
    ),
    "l1 before and after the cuts, weights": (
        tiny("mlp"),
        Recipe("m", schedule=Polynomial(2), tuning=TWO_EPOCHS, regulariser=L1(0.01, epochs=1, after_cuts=True)),
    ),
    "hard concrete gates, channels": (
        trained(),
        Recipe(
            "m",
            Magnitude(),
            Channels(),
            amount=Zeros(),
            tuning=replace(TWO_EPOCHS, average=0.5),
            regulariser=HardConcrete(1.0, epochs=4, learning_rate=0.3),
        ),
    ),
    "soft movement, weights": (
        varied(),
        Recipe(
            "m",
            amount=Zeros(),
            tuning=TWO_EPOCHS,
            regulariser=SoftMovement(3.0, warm_up=0.5, epochs=4, learning_rate=0.3),
        ),
    ),
    "network slimming, one training through all cuts": (
        tiny("residual"),
        Recipe(
            "m",
            BatchnormScale(),
            Channels(),
            schedule=PolynomialDecay(0.2, 2, 8, 3),
            tuning=TWO_EPOCHS,
            regulariser=BatchNormScale(0.01, warm_up=0.5, epochs=2, after_cuts=True),
        ),
    ),
    "from scratch, lottery tickets": (
        tiny("conv_bn"),
        Recipe(
            "m",
            scope=WithinLayer(),
            schedule=Polynomial(2),
            tuning=TWO_EPOCHS,
            start=Scratch(2),
            rewind=RewindWeights(7),
        ),
    ),
    "from scratch, while it is trained, regularised": (
        varied(),
        Recipe("m", schedule=DECAY, tuning=TWO_EPOCHS, start=Scratch(0), regulariser=L1(0.01, epochs=1)),
    ),
    "drawn anew after each cut": (
        tiny("residual"),
        Recipe("m", Taylor(), Channels(), schedule=Polynomial(2), tuning=TWO_EPOCHS, rewind=DrawAnew()),
    ),
    "rigl, adamw": (varied(), Recipe("m", schedule=RigL(0.5, 2, 0.8), tuning=TWO_EPOCHS)),
    "rigl, sgd, averaged": (
        tiny("conv_bn"),
        Recipe("m", schedule=RigL(0.5, 3, 0.8), tuning=replace(TWO_EPOCHS, optimiser="sgd", average=0.9)),
    ),
    "cut only": (tiny("conv"), Recipe("m", schedule=Polynomial(3), tuning=Tuning(epochs=0))),
}


KEPT = "these weights are kept"
SAID = {"until, taken back": 1, "polynomial, heads": 1, "repaired, weights": 1, "patience, averaged": 2}
"""How many warnings there are: a round is taken back, a repair does not help, earlier weights are kept."""


def finish(run: Generator[Event, None, PruneResult]) -> tuple[list[Event], PruneResult]:
    events: list[Event] = []
    while True:
        try:
            events.append(next(run))
        except StopIteration as end:
            return events, end.value


def bits(result: PruneResult) -> dict[str, bytes]:
    tensors = {**result.model.state_dict(), **{f"keep {name}": stays for name, stays in result.keep.items()}}
    return {name: tensor.contiguous().numpy().tobytes() for name, tensor in tensors.items()}


def all_checkpoints(work: Workload, recipe: Recipe, folder: Path) -> tuple[list[Path], list[Event], PruneResult]:
    """An undisturbed run, with each of its checkpoints in a folder of its own."""
    seen: list[Event] = []
    folders: list[Path] = []

    def save(progress: RunState) -> Sequence[Event]:
        folders.append(folder / str(len(folders)))
        checkpoint = Checkpoint(recipe, recipe, tuple(seen), 0.0, progress)
        checkpoints.write(folders[-1], checkpoint)
        return ()

    run = prune(work, recipe, CPU, save=save)
    while True:
        try:
            seen.append(next(run))
        except StopIteration as end:
            return folders, seen, end.value


@pytest.mark.parametrize("case", CASES)
def test_from_every_checkpoint_a_run_ends_as_if_nothing_had_happened(case, tmp_path):
    work, recipe = CASES[case]
    folders, reported, undisturbed = all_checkpoints(work, recipe, tmp_path)
    # heads of a network that has their number written in are only set to zero, which is said
    assert sum(isinstance(event, Warned) for event in reported) == SAID.get(case, 0)
    measured = [place for place, event in enumerate(reported) if isinstance(event, Measured)]
    # what is measured again after a round was taken back, or where earlier weights are kept, is no step of the way
    back = [
        n
        for n, e in enumerate(reported)
        if isinstance(e, Warned) and ("the result is" in e.sentence or KEPT in e.sentence)
    ]
    places = [place for place in measured if place - 1 not in back and place - 2 not in back]
    assert len(folders) == len(places) > 2
    for folder, place in zip(folders, places, strict=True):
        found = checkpoints.read(folder, recipe)
        assert found is not None and list(found.events) == reported[: place + 1]
        assert found.progress.step == reported[place].step and found.progress.cut.number == reported[place].round
        torch.manual_seed(place)  # another process has drawn other numbers
        rest, result = finish(prune(work, recipe, CPU, progress=found.progress))
        assert [*found.events, *rest] == reported
        assert bits(result) == bits(undisturbed)
        assert result.stages == undisturbed.stages and not result.stopped


def test_checkpoints_are_read_by_several_threads_at_once(tmp_path):
    work, recipe = CASES["cut only"]
    folders, _, _ = all_checkpoints(work, recipe, tmp_path)
    steps = [checkpoints.read(folder, recipe).progress.step for folder in folders]
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda folder: checkpoints.read(folder, recipe).progress.step, folders * 50)
    assert list(found) == steps * 50


def test_at_most_one_epoch_is_done_again(tmp_path):
    work, recipe = CASES["polynomial, sgd, channels"]
    folders, _, _ = all_checkpoints(work, recipe, tmp_path)
    steps = [checkpoints.read(folder, recipe).progress.step for folder in folders]
    assert steps == [0, 5, 10, 10, 15, 20]  # five steps are an epoch; each round is measured before its first


@pytest.mark.parametrize(
    "how",
    [
        {"optimiser": "adamw"},
        {"optimiser": "sgd"},
        {"curve": "cosine", "warm_up": 0.5, "mixup": 0.4, "label_smoothing": 0.2},
        {"optimiser": "sgd", "curve": "linear", "momentum": 0.7, "weight_decay": 0.1},
    ],
    ids=str,
)
@pytest.mark.parametrize("before", range(11))
def test_a_training_goes_on_in_the_middle_of_an_epoch(before, how):
    work, tuning = varied(), replace(TWO_EPOCHS, **how)
    whole = work.build()
    list(tune(whole, work, tuning, {}, CPU, 7))
    model = work.build()
    first = Training(model, work, tuning, 10, CPU, 7)
    list(first.steps(before, {}))
    second = Training(model, work, tuning, 10, CPU, 7)
    second.load(first.state())
    global_state = torch.get_rng_state()
    list(second.steps(10 - before, {}))
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), model.state_dict().values(), strict=True))
    assert torch.equal(global_state, torch.get_rng_state())


# whole runs, with export


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "score_files_afresh", rescore_here)
    monkeypatch.setattr("pruning.exporters.report.Report.content", lambda *_: b"")  # the slowest by far


RUN = Recipe("tiny", Taylor(), Channels(), WithinLayer(), schedule=Polynomial(2), tuning=TWO_EPOCHS)


def started(folder: Path, recipe: Recipe = RUN) -> Generator[Event, None, RunResult]:
    return carry_out(
        tiny("conv_bn"),
        recipe,
        folder / "out",
        Called("tests.networks", "tiny", ("conv_bn",)),
        device=CPU,
        checkpoints=folder / "checkpoints",
    )


def ended(events: Generator[Event, None, RunResult]) -> tuple[list[Event], RunResult]:
    seen: list[Event] = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return seen, end.value


def reported_by(events: Sequence[Event]) -> list[Event]:
    """The events but for what may differ: seconds, folders, interruptions."""
    same = [event for event in events if not isinstance(event, Resumed)]
    return [replace(e, seconds=0.0) if isinstance(e, Finished) else Exported({}) if isinstance(e, Exported) else e
            for e in same]  # fmt: skip


def journal(attempts: Sequence[Sequence[Event]]) -> list[Event]:
    """What a store keeps of the attempts' events."""
    events: list[Event] = []
    for attempt in attempts:
        first = attempt[0]
        events = [*(events[: first.events] if isinstance(first, Resumed) else []), *attempt]
    return events


def files(folder: Path) -> list[bytes]:
    return [(folder / "out" / name).read_bytes() for name in ("model.safetensors", "model.pt", "recipe.json")]


@pytest.mark.usefixtures("quick")
def test_a_run_closed_after_some_event_goes_on(tmp_path):
    everything, undisturbed = ended(started(tmp_path / "whole"))
    for after in range(1, len(everything), 3):
        folder = tmp_path / str(after)
        run = started(folder)
        first = list(islice(run, after))
        run.close()
        torch.manual_seed(after)
        second, result = ended(started(folder))
        measured = [event for event in everything[: after - 1] if isinstance(event, Measured)]
        if measured:  # the last event was not followed by a checkpoint: nobody had asked for more
            last = everything.index(measured[-1])
            assert second[0] == Resumed(last + 1, measured[-1].round, measured[-1].step)
        else:
            assert isinstance(second[0], Started)
        assert reported_by(journal([first, second])) == reported_by(everything)
        assert result.stages == undisturbed.stages and files(folder) == files(tmp_path / "whole")


@pytest.mark.usefixtures("quick")
def test_a_run_interrupted_again_and_again_goes_on_each_time(tmp_path):
    everything, _ = ended(started(tmp_path / "whole"))
    attempts: list[list[Event]] = []
    while not attempts or not isinstance(attempts[-1][-1], Finished):
        run = started(tmp_path / "a")
        attempts.append(list(islice(run, 7)))
        run.close()
    assert len(attempts) > 4
    events = journal(attempts)
    assert reported_by(events) == reported_by(everything) and files(tmp_path / "a") == files(tmp_path / "whole")
    assert sum(isinstance(event, Resumed) for event in events) > 1


@pytest.mark.usefixtures("quick")
def test_the_report_tells_of_the_whole_run(tmp_path, monkeypatch):
    logs: list[tuple[Event, ...]] = []
    monkeypatch.setattr(
        "pruning.exporters.report.Report.content", lambda _self, record: logs.append(record.events) or b""
    )
    run = started(tmp_path)
    first = list(islice(run, 12))
    run.close()
    second, _ = ended(started(tmp_path))
    # the report is written before its own event, and knows of the end
    assert [*logs[0][:-1], Exported({}), logs[0][-1]] == [
        Exported({}) if isinstance(event, Exported) else event for event in journal([first, second])
    ]


@pytest.mark.usefixtures("quick")
def test_the_seconds_of_a_run_are_those_of_all_its_attempts(tmp_path):
    begun = time.monotonic()
    run = started(tmp_path)
    first = list(islice(run, 12))
    run.close()
    found = checkpoints.read(tmp_path / "checkpoints", RUN)
    assert found is not None and 0 < found.seconds <= time.monotonic() - begun and first
    longer = replace(found, seconds=1000.0)
    checkpoints.write(tmp_path / "checkpoints", longer)
    events, _ = ended(started(tmp_path))
    assert 1000 < events[-1].seconds <= 1000 + time.monotonic() - begun


def keep_some(folder: Path) -> Path:
    """A run closed in the middle; the file of its checkpoint."""
    run = started(folder)
    list(islice(run, 12))
    run.close()
    return folder / "checkpoints" / FILE


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "harm, sentence",
    [
        (lambda content: b"", "damaged, or was written by another version"),
        (lambda content: content[:1000], "checkpoint is damaged"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "checkpoint is damaged"),
        (lambda content: content.replace(b"checkpoint 6", b"checkpoint 5", 1), "another version"),
    ],
)
def test_a_checkpoint_that_is_no_good_is_not_gone_on_from(harm, sentence, tmp_path):
    everything, _ = ended(started(tmp_path / "whole"))
    file = keep_some(tmp_path)
    file.write_bytes(harm(file.read_bytes()))
    events, _ = ended(started(tmp_path))
    assert isinstance(events[0], Warned) and sentence in events[0].sentence
    assert events[0].sentence.endswith(": the run begins anew")
    assert reported_by(events[1:]) == reported_by(everything)
    assert files(tmp_path) == files(tmp_path / "whole")


@pytest.mark.usefixtures("quick")
def test_a_checkpoint_of_another_recipe_is_not_gone_on_from(tmp_path):
    keep_some(tmp_path)
    other = replace(RUN, seed=1)
    events, _ = ended(started(tmp_path, other))
    assert events[0] == Warned("the run's checkpoint is of another recipe: the run begins anew")
    assert reported_by(events[1:]) == reported_by(ended(started(tmp_path / "whole", other))[0])


class Unwelcome:
    def __reduce__(self):
        return print, ("code from a checkpoint was run",)


def test_a_checkpoint_runs_no_code(tmp_path, capsys):
    work, recipe = CASES["cut only"]
    folders, _, _ = all_checkpoints(work, recipe, tmp_path)
    found = checkpoints.read(folders[0], recipe)
    checkpoints.write(tmp_path, replace(found, progress=Unwelcome()))
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoints.read(tmp_path, recipe)
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("quick")
def test_what_a_killed_writer_left_is_swept(tmp_path):
    file = keep_some(tmp_path)
    stray = file.with_name(f".{FILE}.0123abcd.part")
    stray.write_bytes(b"half")
    ended(started(tmp_path))
    assert [path.name for path in file.parent.iterdir()] == [FILE]


@pytest.mark.usefixtures("quick")
def test_a_folder_that_takes_no_file_costs_the_checkpoints_and_not_the_run(tmp_path, monkeypatch):
    def closed(_folder, _content):
        raise ExportError("the folder cannot be written to") from OSError(13, "Permission denied")

    everything, _ = ended(started(tmp_path / "whole"))
    monkeypatch.setattr(checkpoints, "write_whole", closed)
    events, _ = ended(started(tmp_path))
    (warning,) = [event for event in events if isinstance(event, Warned)]
    assert "Permission denied" in warning.sentence
    assert reported_by([event for event in events if event != warning]) == reported_by(everything)


@pytest.mark.usefixtures("quick")
def test_a_full_disk_is_the_workers_to_wait_for(tmp_path, monkeypatch):
    def full(_folder, _content):
        raise ExportError("the folder cannot be written to") from OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_whole", full)
    with pytest.raises(ExportError, match="cannot be written to"):
        ended(started(tmp_path))


def test_a_network_of_other_layers_is_refused_by_name(tmp_path):
    work, recipe = CASES["cut only"]
    folders, _, _ = all_checkpoints(work, recipe, tmp_path)
    progress = checkpoints.read(folders[0], recipe).progress
    with pytest.raises(PruningError, match="other layers now"):
        finish(prune(tiny("conv_bn"), recipe, CPU, progress=progress))


@pytest.mark.usefixtures("quick")
def test_half_the_batch_stays_half_after_an_interruption(tmp_path, monkeypatch):
    real = runs.prune

    def short_of_memory(workload, recipe, *rest):
        if recipe.tuning.batch_size > 32:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return (yield from real(workload, recipe, *rest))

    monkeypatch.setattr(runs, "prune", short_of_memory)
    everything, _ = ended(started(tmp_path / "whole"))
    run = started(tmp_path)
    first = list(islice(run, 14))
    run.close()
    second, _ = ended(started(tmp_path))
    assert isinstance(second[0], Resumed) and not any("memory" in e.sentence for e in second if isinstance(e, Warned))
    assert reported_by(journal([first, second])) == reported_by(everything)
    assert files(tmp_path) == files(tmp_path / "whole")
    assert from_json((tmp_path / "out" / "recipe.json").read_text()).tuning.batch_size == 32


@pytest.mark.usefixtures("quick")
def test_memory_that_runs_out_a_second_time_after_an_interruption_ends_the_run(tmp_path, monkeypatch):
    real, most = runs.prune, [32]

    def short_of_memory(workload, recipe, *rest):
        if recipe.tuning.batch_size > most[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return (yield from real(workload, recipe, *rest))

    monkeypatch.setattr(runs, "prune", short_of_memory)
    run = started(tmp_path)
    list(islice(run, 14))
    run.close()
    most[0] = 16
    with pytest.raises(torch.OutOfMemoryError):
        ended(started(tmp_path))


CHILD = """
import json, sys, torch
from pathlib import Path
from pruning.run import engine, experiment as runs
from pruning.events import event_to_dict
from pruning.recipe.recipe import from_json
from pruning.cli.workload_file import load_workload, source_of
from tests.own_workload import rescore_here

torch.set_num_threads(1)
engine.guessing = lambda *_: ""  # as in the tests' own process
runs.score_files_afresh = rescore_here
folder, reference, recipe = Path(sys.argv[1]), sys.argv[2], from_json(sys.argv[3])
for event in runs.carry_out(load_workload(reference), recipe, folder / "out", source_of(reference),
                       device=torch.device("cpu"), checkpoints=folder / "checkpoints"):
    print(json.dumps(event_to_dict(event)), flush=True)
"""


def test_a_run_that_is_killed_goes_on_in_another_process(tmp_path, monkeypatch):
    reference = write_own(tmp_path)
    recipe = recipe_text(tuning={"epochs": 3, "batch_size": 20})  # 2 rounds of 3 epochs of 15 steps

    def child() -> subprocess.Popen[str]:
        arguments = [sys.executable, "-c", CHILD, str(tmp_path / "killed"), reference, recipe]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)

    def read(lines: Iterable[str]) -> list[Event]:
        return [event_from_dict(json.loads(line)) for line in lines]

    with child() as process:
        first = read(islice(process.stdout, 14))
        os.kill(process.pid, signal.SIGKILL)
        first += read(line for line in process.stdout if line.endswith("\n"))
    assert process.returncode == -signal.SIGKILL
    with child() as process:
        second = read(process.stdout)
    assert isinstance(second[0], Resumed) and second[0].step >= 15
    monkeypatch.setattr(runs, "score_files_afresh", rescore_here)
    whole = carry_out(
        load_workload(reference), from_json(recipe), tmp_path / "whole" / "out", source_of(reference), device=CPU
    )
    assert reported_by(journal([first, second])) == reported_by(ended(whole)[0])
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    last_step = max(event.step for event in first if isinstance(event, TuningStep))
    assert last_step - second[0].step <= 15  # no more than an epoch is done again
