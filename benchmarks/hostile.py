"""Strangers' files, links and names: 2 000 files scored as `score` does, 10 000 links and names read.

`python -m benchmarks.hostile --files 200` tries fewer.
"""

import argparse
import json
import os
import random
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from rich.console import Console

from benchmarks import hostile_archives, hostile_links, hostile_tensors
from benchmarks.hostile_archives import CANARY
from benchmarks.hostile_tensors import Tensors
from benchmarks.hostile_victim import MODEL
from benchmarks.report import Report, Target
from sample_models import MODELS

FILES = 2_000
LINKS = 10_000
VICTIMS = 2
MOST_S, MOST_BYTES = 15.0, 4 * 2**30
HANGS_S = 120.0
"""After which a victim is killed. It is called too slow long before."""

_ROOT = Path(__file__).resolve().parents[1]
_FAMILIES = {**hostile_tensors.FAMILIES, **hostile_archives.FAMILIES}
_ONCE = {**hostile_tensors.ONCE, **hostile_archives.ONCE}


@dataclass(frozen=True)
class _Tried:
    """What came of one file."""

    family: str
    number: int
    outcome: str
    seconds: float
    said: str
    bytes: int
    differs: bool
    executed: bool


def measure(files: int = FILES) -> Report:
    """Every family of files in turn, then links and names. What should not have been is printed."""
    tensors = dict(MODELS[MODEL]().build().state_dict())
    tried = list(_scored(files, tensors))
    for each in tried:
        if each.outcome not in ("accepted", "refused") or each.differs or each.executed or each.seconds > MOST_S:
            print(f"{each.family} {each.number}: {each}", file=sys.stderr)
    links = Counter(hostile_links.fault_of_link(hostile_links.link(random.Random(seed))) for seed in range(LINKS))
    names = Counter(hostile_links.fault_of_name(hostile_links.name(random.Random(seed))) for seed in range(LINKS))
    for fault, count in (links + names).items():
        if fault:
            print(f"links and names: {fault}, {count} times", file=sys.stderr)
    outcomes = Counter(each.outcome for each in tried)
    faults = {
        "files that executed code": sum(each.executed for each in tried),
        "processes lost": outcomes["lost"],
        "tracebacks": outcomes["traceback"],
        "files over 15 s": sum(each.seconds > MOST_S for each in tried),
        "accepted as other values": sum(each.differs for each in tried),
        "links that are not read or refused in a sentence": links.total() - links[""],
        "names shown as more than text": names.total() - names[""],
    }
    most = max(each.bytes for each in tried)
    figures = {
        "files": len(tried),
        "refused": outcomes["refused"],
        "accepted as they are": outcomes["accepted"] - faults["accepted as other values"],
        **faults,
        "links": LINKS,
        "names": LINKS,
        "slowest file (s)": max(each.seconds for each in tried),
        "most memory (GiB)": most / 2**30,
    }
    targets = {**dict.fromkeys(faults, Target(at_most=0)), "most memory (GiB)": Target(at_most=MOST_BYTES / 2**30)}
    return Report(figures, targets, _rows(tried))


def _rows(tried: list[_Tried]) -> list[dict[str, str | float]]:
    """A row for each family, with its slowest file."""
    rows: list[dict[str, str | float]] = []
    for family in dict.fromkeys(each.family for each in tried):
        found = [each for each in tried if each.family == family]
        slowest = max(found, key=lambda each: each.seconds)
        accepted = sum(each.outcome == "accepted" for each in found)
        rows.append(
            {"family": family, "files": len(found), "accepted": accepted, "slowest (s)": round(slowest.seconds, 2)}
        )
    return rows


def _scored(files: int, tensors: Tensors) -> Generator[_Tried]:
    """Every family in turn until there are enough files; those that are large come once."""
    plan = [(family, 0) for family in _ONCE]
    plan += [(family, number) for number, family in enumerate(islice(cycle(_FAMILIES), max(files - len(plan), 0)))]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(VICTIMS) as pool:
        free: SimpleQueue[_Victim] = SimpleQueue()
        with _victims(free):
            tries = ((family, number, tensors, Path(folder), free) for family, number in plan)
            for done, found in enumerate(pool.map(_try, *zip(*tries, strict=True)), 1):
                yield found
                if done % 50 == 0:
                    print(f"{done} of {len(plan)} files", file=sys.stderr, flush=True)


class _Victim:
    """A process that scores files until it is lost, and then another."""

    def __init__(self) -> None:
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.hostile_victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def score(self, path: Path) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        start = time.monotonic()
        try:
            self._process.stdin.write(json.dumps(str(path)).encode() + b"\n")
            self._process.stdin.flush()
            ready, _, _ = select.select([self._process.stdout], [], [], HANGS_S)
            return json.loads(self._process.stdout.readline() if ready else b"")
        except (OSError, ValueError):
            self.end()
            self._process = self._start()
            return {"outcome": "lost", "seconds": time.monotonic() - start, "said": "", "bytes": 0, "differs": False}

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def _victims(free: "SimpleQueue[_Victim]") -> Generator[None]:
    all_of_them = [_Victim() for _ in range(VICTIMS)]
    for each in all_of_them:
        free.put(each)
    try:
        yield
    finally:
        for each in all_of_them:
            each.end()


def _try(family: str, number: int, tensors: Tensors, folder: Path, free: "SimpleQueue[_Victim]") -> _Tried:
    suffix, content = {**_FAMILIES, **_ONCE}[family](random.Random(f"{family} {number}"), tensors)
    path = folder / f"{family.replace(' ', '_')}_{number}.{suffix}".rstrip(".")
    path.write_bytes(content)
    victim = free.get()
    try:
        found = victim.score(path)
    finally:
        free.put(victim)
        path.unlink()
    executed = Path(CANARY).exists()
    Path(CANARY).unlink(missing_ok=True)
    return _Tried(family, number, executed=executed, **found)


def main() -> None:
    from benchmarks.__main__ import tables
    from benchmarks.history import measurement_of

    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=__doc__)
    parser.add_argument("--files", type=int, default=FILES, help=f"how many files are tried; {FILES} if left out")
    report = measure(parser.parse_args().files)
    for table in tables("hostile", measurement_of(report, "")):
        Console().print(table)
    sys.exit(not report.met)


if __name__ == "__main__":
    main()
