"""Does the file score what the network scored? Asked of a fresh process that knows nothing but file and data."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pruning.errors import ExportError, WorkloadError
from pruning.evaluation.stages import measure_stage
from pruning.events import Stage
from pruning.exporters.loading import load_network
from pruning.exporters.reading import Network, read_network
from pruning.exporters.workload_source import WorkloadSource, to_message
from pruning.files.shown import shown
from pruning.metric import ACCURACY, Metric
from pruning.model.costs import file_bytes
from pruning.reporting.formatting import duration, score_text
from pruning.workload import Workload

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class FileScore:
    """What a file scores and costs once it is loaded, and the fingerprint of its tensors."""

    file: str
    stage: Stage
    fingerprint: str


def score_file(
    path: Path, workload: Workload, device: torch.device, read: Callable[[Path], Network] = read_network
) -> FileScore:
    """Load a file into the workload's network and score both splits. WorkloadError if it does not fit.

    `read` is how the file is read: as anybody's, if nothing else is said.
    """
    tensors, sizes = read(path)
    try:
        model = load_network(workload, tensors, device, sizes)
    except WorkloadError as error:
        raise WorkloadError(f"{shown(path.name)}: {error}") from error
    return FileScore(str(path), measure_stage(model, workload, device, sizes), fingerprint(tensors))


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the tensors as a .safetensors file: one changed weight gives another, though no score may change."""
    return hashlib.sha256(file_bytes(tensors)).hexdigest()


def to_dict(rescored: FileScore) -> dict[str, Any]:
    """One flat JSON-able dict."""
    return {"file": rescored.file, **asdict(rescored.stage), "fingerprint": rescored.fingerprint}


def from_dict(values: Mapping[str, Any]) -> FileScore:
    """What `to_dict` wrote, other keys left out."""
    stage = {field.name: values[field.name] for field in fields(Stage)}
    for name in ("class_scores", "class_samples"):
        stage[name] = tuple(stage[name])
    return FileScore(values["file"], Stage(**stage), values["fingerprint"])


def score_files_afresh(
    paths: Sequence[Path], source: WorkloadSource, device: torch.device, timeout_s: float
) -> tuple[FileScore, ...]:
    """`score_file` of every file by a new Python process, which gets the workload from `source`.

    ExportError says why it could not be done.
    """
    call, pickled = to_message(source)
    request = {"files": list(map(str, paths)), "device": str(device), "call": call}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pruning.exporters.score_files"],
            input=json.dumps(request).encode() + b"\n" + pickled,
            env=_environment(),
            capture_output=True,
            timeout=timeout_s,
            # Ctrl-C stops the run, whose last act is this; it must not end here too. But a worker, which no key
            # reaches, must be able to end with all that it has started
            start_new_session=_at_a_terminal(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ExportError(
            f"scoring the exported files took longer than {duration(timeout_s)}; score them by hand"
        ) from None
    if done.returncode:
        complaints = done.stderr.decode(errors="replace").strip().splitlines()
        said = (complaints or [f"exit code {done.returncode}"])[-1].removeprefix("error: ")
        raise ExportError(f"the exported files could not be scored in a fresh process ({said})")
    printed = done.stdout.decode(errors="replace").splitlines()
    try:
        # a workload file may print too, but what was asked for comes last
        return tuple(from_dict(json.loads(line)) for line in printed[-len(paths) :])
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError("the fresh process gave no scores of the exported files; score them by hand") from error


def differences(
    network: Stage, tensors: Mapping[str, Tensor], files: Sequence[FileScore], metric: Metric = ACCURACY
) -> list[str]:
    """A sentence for every way in which a file is not the network: other scores on a split, or other values."""
    expected = fingerprint(tensors)
    found: list[str] = []
    for file in files:
        name = Path(file.file).name
        scores = [("test", network.score, file.stage.score), ("validation", network.validation, file.stage.validation)]
        found += [
            f"{name} scores {score_text(again, metric, 3)} on the {split} split and the run's network "
            f"{score_text(before, metric, 3)}"
            for split, before, again in scores
            if before != again
        ]
        if file.fingerprint != expected:
            found.append(f"{name} holds other values than the run's network")
    return found


def _at_a_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY))
    except OSError:
        return False
    return True


def _environment() -> dict[str, str]:
    """The caller's, so that the fresh process imports what this one imports and adds up in the same order."""
    paths = [str(ROOT), *(str(Path(entry).resolve()) for entry in sys.path)]
    threads = str(torch.get_num_threads())
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1", "OMP_NUM_THREADS": threads}
