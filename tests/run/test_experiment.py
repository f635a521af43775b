import errno
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pruning.cli.workload_file import load_workload, source_of
from pruning.errors import ExportError
from pruning.events import Event, Exported, Finished, StageMeasured, Started, TuningStep, Verified, Warned
from pruning.exporters.verification import differences, score_files_afresh
from pruning.granularities import Heads, Weights
from pruning.metric import Metric
from pruning.model.devices import device_name
from pruning.recipe.recipe import Recipe, from_json
from pruning.run import experiment as runs
from pruning.run.experiment import RunResult, carry_out, prune_within_memory
from pruning.selection.scopes import WithinLayer
from pruning.training.tuning import Tuning
from tests.architectures import Encoder
from tests.networks import VECTOR, mlp, seeded, workload
from tests.own_workload import recipe_text, rescore_here, write_own

CPU = torch.device("cpu")
CHANNELS = {"granularity": {"kind": "channels"}}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "score_files_afresh", rescore_here)


def finish(events: Generator[Event, None, RunResult]) -> tuple[list[Event], RunResult]:
    seen: list[Event] = []
    try:
        while True:
            seen.append(next(events))
    except StopIteration as end:
        return seen, end.value


def start(folder: Path, **changes: Any) -> Generator[Event, None, RunResult]:
    folder.mkdir(parents=True, exist_ok=True)
    reference = write_own(folder)
    return carry_out(
        load_workload(reference), from_json(recipe_text(**changes)), folder / "out", source_of(reference), device=CPU
    )


def test_a_fresh_process_scores_the_files_as_the_run_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pruning").mkdir()  # a folder of that name where the person stands must not get in the way
    monkeypatch.chdir(tmp_path)
    events, result = finish(start(tmp_path, **CHANNELS))
    assert result.verified == Verified(result.stages["tuned"].score, result.stages["exported"].score, same=True)
    assert result.stages["exported"] == result.stages["tuned"]
    assert result.stages["exported"].bytes == Path(result.artefacts["safetensors"]).stat().st_size
    assert [type(event) for event in events[-4:]] == [StageMeasured, Verified, Exported, Finished]
    assert events[-2] == Exported(result.artefacts)
    assert result.run == from_json(recipe_text(**CHANNELS)).name
    assert not [event for event in events if isinstance(event, Warned)]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("granularity", "needed"), [(Heads(), True), (Weights(), False)])
def test_classes_of_narrow_layers_lie_beside_the_files_that_need_them(tmp_path, monkeypatch, granularity, needed):
    monkeypatch.setattr("pruning.exporters.report.Report.content", lambda *_: b"")  # the slowest by far
    work = workload(lambda: seeded(Encoder), (5, 4), count=32)
    recipe = Recipe("tiny", granularity=granularity, scope=WithinLayer(), tuning=Tuning(epochs=0))
    _, result = finish(carry_out(work, recipe, tmp_path, work, device=CPU))
    assert result.verified is not None and result.verified.same
    assert ("narrow_layers" in result.artefacts) == (tmp_path / "narrow_layers.py").exists() == needed
    assert result.stages["exported"].bytes == (tmp_path / "model.safetensors").stat().st_size


@pytest.mark.usefixtures("quick")
def test_equal_runs_write_equal_files(tmp_path: Path) -> None:
    results = [finish(start(tmp_path / name, **CHANNELS))[1] for name in "ab"]
    for kind in ("safetensors", "pt", "recipe"):
        first, second = (Path(result.artefacts[kind]).read_bytes() for result in results)
        assert first == second, kind


@pytest.mark.usefixtures("quick")
def test_a_network_that_draws_while_it_is_built_is_the_same_whatever_was_drawn_before(tmp_path: Path) -> None:
    """The recipe's seed decides what a `build` draws that sets no seed of its own."""
    work = workload(mlp, VECTOR, count=60)
    recipe = Recipe("tiny", tuning=Tuning(epochs=0))
    files = list[bytes]()
    with torch.random.fork_rng():
        for seed in (1, 2):
            torch.manual_seed(seed)
            _, result = finish(carry_out(work, recipe, tmp_path / f"{seed}", work, device=CPU))
            files.append(Path(result.artefacts["safetensors"]).read_bytes())
    assert files[0] == files[1]


@pytest.mark.usefixtures("quick")
def test_without_the_packages_of_the_report_the_other_files_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "missing_packages", lambda: ["plotly", "jinja2"])
    events, result = finish(start(tmp_path))
    assert sorted(result.artefacts) == ["pt", "recipe", "safetensors"]
    assert [event.sentence for event in events if isinstance(event, Warned)] == [
        "report.html is not written: it needs plotly and jinja2; run pip install 'pruning-explorer[app]'"
    ]
    assert result.verified is not None and result.verified.same


def test_an_unwritable_folder_is_said_before_anything_is_built(tmp_path: Path) -> None:
    def never() -> torch.nn.Module:
        raise AssertionError("built before the folder was tried")

    reference = write_own(tmp_path)
    workload = load_workload(reference)
    object.__setattr__(workload, "build", never)
    out = tmp_path / "own.py" / "below"
    with pytest.raises(ExportError, match=str(out)):
        next(carry_out(workload, from_json(recipe_text()), out, source_of(reference)))


@pytest.mark.usefixtures("quick")
def test_a_stopped_run_keeps_and_exports_what_there_is(tmp_path: Path) -> None:
    stopped = False
    reference = write_own(tmp_path)
    recipe = from_json(recipe_text(tuning={"epochs": 50, "batch_size": 50}))
    events = carry_out(load_workload(reference), recipe, tmp_path / "out", source_of(reference), lambda: stopped, CPU)
    seen: list[Event] = []
    for event in events:
        seen.append(event)
        stopped = stopped or isinstance(event, TuningStep)
    assert isinstance(seen[-1], Finished) and seen[-1].stopped
    assert sum(isinstance(event, TuningStep) for event in seen) <= 2
    assert next(event for event in seen if isinstance(event, Verified)).same
    assert "stopped early" in (tmp_path / "out" / "report.html").read_text()


def tampered(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[..., Any]:
    """A rescoring of files that somebody changed after they were written."""

    def rescored(paths: list[Path], *rest: Any) -> Any:
        tensors = load_file(paths[0])
        change(tensors)
        save_file(tensors, paths[0], metadata={"format": "pt"})
        return rescore_here(paths, *rest)

    return rescored


def far(tensors: dict[str, torch.Tensor]) -> None:
    tensors["fc.bias"][0] += 1000


def hardly(tensors: dict[str, torch.Tensor]) -> None:
    tensors["fc.bias"][0] += 1e-6


@pytest.mark.parametrize("change", [far, hardly])
def test_a_file_with_one_weight_changed_is_not_called_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, torch.Tensor]], None]
) -> None:
    monkeypatch.setattr(runs, "score_files_afresh", tampered(change))
    events, result = finish(start(tmp_path))
    assert result.verified is not None and not result.verified.same
    warnings = [event.sentence for event in events if isinstance(event, Warned)]
    assert any("not verified" in sentence and "model.safetensors" in sentence for sentence in warnings)
    assert all(Path(path).is_file() for path in result.artefacts.values())
    report = Path(result.artefacts["report"]).read_text()
    assert "Not verified." in report and "Verified.</strong>" not in report.replace("Not verified.", "")


def test_what_cannot_be_scored_again_is_not_called_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def corrupted(paths: list[Path], *rest: Any) -> Any:
        paths[0].write_bytes(b"not tensors at all")
        return score_files_afresh(paths, *rest)

    monkeypatch.setattr(runs, "score_files_afresh", corrupted)
    events, result = finish(start(tmp_path))
    assert result.verified is None and "exported" not in result.stages
    warning = next(event.sentence for event in events if isinstance(event, Warned))
    assert "not verified" in warning and "model.safetensors" in warning
    assert "Not verified." in Path(result.artefacts["report"]).read_text()


def test_a_process_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    reference = write_own(tmp_path)
    with pytest.raises(ExportError, match="took longer than"):
        score_files_afresh([tmp_path / "model.safetensors"], source_of(reference), CPU, 0.05)


@pytest.mark.usefixtures("quick")
def test_scores_are_compared_on_both_splits(tmp_path: Path) -> None:
    _, result = finish(start(tmp_path))
    files = [Path(result.artefacts["safetensors"])]
    found = rescore_here(files, source_of(write_own(tmp_path)), CPU, 1.0)
    tensors = load_file(files[0])
    tuned = result.stages["tuned"]
    assert differences(tuned, tensors, found) == []
    for field, split in (("score", "test"), ("validation", "validation")):
        other = type(tuned)(**{**vars(tuned), field: 0.125})
        (sentence,) = differences(other, tensors, found)
        assert f"on the {split} split" in sentence and "12.500" in sentence
        (sentence,) = differences(other, tensors, found, Metric("MSE", better="lower"))
        assert "0.12500" in sentence and "%" not in sentence


@pytest.mark.usefixtures("quick")
def test_out_of_memory_begins_again_with_half_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = runs.prune

    def prune(workload: Any, recipe: Any, *rest: Any) -> Any:
        if recipe.tuning.batch_size > 25:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return (yield from real(workload, recipe, *rest))

    monkeypatch.setattr(runs, "prune", prune)
    events, result = finish(start(tmp_path))
    assert "25 instead of 50" in next(event.sentence for event in events if isinstance(event, Warned))
    assert sum(isinstance(event, Started) for event in events) == 1
    assert from_json(Path(result.artefacts["recipe"]).read_text()).tuning.batch_size == 25
    assert result.verified is not None and result.verified.same


def test_out_of_memory_twice_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prune(*_: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        yield

    monkeypatch.setattr(runs, "prune", prune)
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        finish(start(tmp_path))


def test_closing_a_run_ends_it(tmp_path: Path) -> None:
    events = start(tmp_path)
    assert isinstance(next(events), Started)
    events.close()
    assert list((tmp_path / "out").iterdir()) == []


def test_what_a_run_came_to_names_its_model_and_device_and_how_long_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience: list[float] = []

    def rescore(files: Any, source: Any, device: Any, timeout_s: float) -> Any:
        patience.append(timeout_s)
        return rescore_here(files, source, device, timeout_s)

    monkeypatch.setattr(runs, "score_files_afresh", rescore)
    begun = time.monotonic()
    events, result = finish(start(tmp_path))
    took = time.monotonic() - begun
    assert (result.workload, result.device, result.stopped) == ("own", device_name(CPU), False)
    assert events[-2:] == [Exported(result.artefacts), Finished(False, events[-1].seconds)]
    assert 0 < events[-1].seconds <= took
    # a fresh process may take ten times as long as the run so far, and a while to start
    assert runs.PATIENCE_S < patience[0] <= runs.PATIENCE_S + 10 * took


def test_a_run_without_checkpoints_within_memory_is_the_run(tmp_path: Path) -> None:
    workload, recipe = load_workload(write_own(tmp_path)), from_json(recipe_text())
    carried_out, pruned = finish(prune_within_memory(workload, recipe, CPU))[1]  # type: ignore[arg-type]
    (_, alone) = finish(runs.prune(workload, recipe, CPU))  # type: ignore[arg-type]
    assert carried_out == recipe and pruned.stages == alone.stages


OUT_OF_MEMORY = "DefaultCPUAllocator: can't allocate memory"


@pytest.mark.parametrize(
    "batch_size, message, tried",
    [
        (50, "something else", [50]),
        (4, OUT_OF_MEMORY, [4, 2]),
        (3, OUT_OF_MEMORY, [3]),  # half of three is a batch of one, which no batch norm takes
    ],
)
def test_half_the_batch_is_tried_for_want_of_memory_alone_and_down_to_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, message: str, tried: list[int]
) -> None:
    sizes: list[int] = []

    def prune(_: Any, recipe: Any, *rest: Any) -> Any:
        sizes.append(recipe.tuning.batch_size)
        raise RuntimeError(message)
        yield

    monkeypatch.setattr(runs, "prune", prune)
    with pytest.raises(RuntimeError, match=message):
        finish(start(tmp_path, tuning={"epochs": 1, "batch_size": batch_size}))
    assert sizes == tried


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_run_whose_checkpoint_finds_no_room_ends_and_any_other_fault_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Whoever carries it out lets it wait for room: without checkpoints an interruption would cost what was done."""

    def unwritten(*_: object) -> None:
        raise ExportError("it cannot be written to") from OSError(number, "no")

    monkeypatch.setattr(runs.kept, "write", unwritten)
    reference = write_own(tmp_path)
    load, recipe = load_workload(reference), from_json(recipe_text())
    checkpoints = tmp_path / "checkpoints"
    events = carry_out(load, recipe, tmp_path / "out", source_of(reference), device=CPU, checkpoints=checkpoints)
    if number == errno.ENOSPC:
        with pytest.raises(ExportError, match="it cannot be written to"):
            finish(events)
    else:
        said, _ = finish(events)
        notes = [event.sentence for event in said if isinstance(event, Warned)]
        assert "no checkpoint can be written (no): an interruption would cost what was done" in notes
