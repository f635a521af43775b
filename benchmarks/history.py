"""The measurements made so far: benchmarks/history/NAME.jsonl, one line each, the newest last, none ever rewritten."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import msgspec

from benchmarks.report import Report, Target
from pruning.errors import PruningError

ROOT = Path(__file__).resolve().parents[1]
HISTORY = ROOT / "benchmarks" / "history"
WRITTEN_BY_A_RECORD = (":!benchmarks/history", ":!docs/measured.md", ":!docs/reference/networks.md")


@dataclass(frozen=True)
class Measurement:
    """A report, with the commit that was measured, the day and the machine; `note` is what else a reader must know."""

    commit: str
    day: str
    machine: str
    figures: Mapping[str, float]
    targets: Mapping[str, Target] = field(default_factory=dict[str, Target])
    rows: Sequence[Mapping[str, str | float]] = ()
    note: str = ""


def read(name: str, folder: Path = HISTORY) -> list[Measurement]:
    """All measurements of a benchmark, the oldest first; none if it was never recorded."""
    file = folder / f"{name}.jsonl"
    if not file.exists():
        return []
    return msgspec.json.Decoder(list[Measurement]).decode(b"[" + b",".join(file.read_bytes().splitlines()) + b"]")


def append(name: str, measurement: Measurement, folder: Path = HISTORY) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / f"{name}.jsonl").open("ab") as file:
        file.write(msgspec.json.encode(measurement) + b"\n")


def measurement_of(report: Report, commit: str) -> Measurement:
    """The report, made today on this machine."""
    return Measurement(commit, date.today().isoformat(), machine(), report.figures, report.targets, list(report.rows))


def committed_head(root: Path = ROOT) -> str:
    """The commit that is checked out. PruningError if files differ from it: nobody could measure them again."""
    changed = git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *WRITTEN_BY_A_RECORD)
    if changed:
        first = changed.splitlines()[0].split(maxsplit=1)[-1]
        raise PruningError(f"{first} differs from the last commit; commit it first: a record names what was measured")
    return git(root, "rev-parse", "--short=10", "HEAD")


def measured_at(name: str, revision: str, folder: Path = HISTORY, root: Path = ROOT) -> Measurement:
    """The last measurement of the revision or of a commit before it, of this machine if there is one."""
    git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    found = [m for m in read(name, folder) if _is_ancestor(root, m.commit, revision)]
    if not found:
        raise PruningError(
            f"{name} has no record at {revision} or before it; check that revision out and run "
            f"python -m benchmarks {name} --record"
        )
    here = machine()
    return next((m for m in reversed(found) if m.machine == here), found[-1])


def machine() -> str:
    """Cores, processor, GPU and torch: what a figure depends on."""
    import torch

    device = torch.accelerator.current_accelerator(check_available=True)
    chip = torch.cuda.get_device_name() if device is not None and device.type == "cuda" else "no GPU"
    cores = f"{os.cpu_count()} cores {platform.machine()}"
    return ", ".join(filter(None, [cores, _processor(), chip, f"torch {torch.__version__}"]))


def _processor() -> str:
    """The processor's name, where the system says it."""
    about = Path("/proc/cpuinfo")
    if not about.exists():
        return platform.processor()
    lines = (line.partition(":") for line in about.read_text().splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == "model name"), "")


def _is_ancestor(root: Path, commit: str, revision: str) -> bool:
    """False too for a commit that this clone does not have."""
    command = ["git", "merge-base", "--is-ancestor", commit, revision]
    return subprocess.run(command, cwd=root, capture_output=True).returncode == 0


def git(root: Path, *arguments: str) -> str:
    """What a git command prints. PruningError, with git's own words, if it fails."""
    ended = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if ended.returncode:
        raise PruningError(f"git {' '.join(arguments)} failed: {ended.stderr.strip() or 'there is no such commit'}")
    return ended.stdout.rstrip()
