"""Runs under fire: servers, run workers and their children are killed (SIGKILL) at random moments, again and again.

Several servers, each with a home of its own, are besieged side by side, so that one starts while another trains. What
is counted is read from the store and the files, as a person would find them, and compared with undisturbed runs.
"""

import hashlib
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from benchmarks.report import Report, Target
from benchmarks.siege import Siege, Tally, open_store, serving, wait_until_idle
from pruning.events import Finished, Measured, TuningStep, Verified
from pruning.execution.store.store import Store
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Sparsity
from pruning.training.schedules import Polynomial
from pruning.training.tuning import Tuning

KILLS = 200
SERVERS = 6
BASE = Recipe("mlp_128", amount=Sparsity(0.8), schedule=Polynomial(2), tuning=Tuning(epochs=2, batch_size=256))
RECIPES = [replace(BASE, seed=seed) for seed in range(3)]
EPOCHS = 4


@dataclass(frozen=True)
class Result:
    """What a run came to: the SHA-256 of its weights, and all that it told of the way there."""

    weights: str
    reported: tuple[TuningStep | Measured, ...]


def measure() -> Report:
    """At least KILLS kills, then quiet until every accepted run is over."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = _undisturbed(Path(folder) / "undisturbed")
        steps = max(event.step for result in undisturbed.values() for event in result.reported)
        print(f"{len(RECIPES)} undisturbed runs in {time.monotonic() - begun:.0f} s", file=sys.stderr)
        tally = Tally(KILLS)
        sieges = [Siege(Path(folder) / str(number), number, RECIPES, tally) for number in range(SERVERS)]
        threads = [threading.Thread(target=siege.carry_out) for siege in sieges]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        outcome = [_evaluated(siege.home, siege.accepted, undisturbed) for siege in sieges]
    steps_an_epoch = steps / EPOCHS
    repeated = [again / steps_an_epoch for again in tally.repeated_steps]
    figures = {
        "kills": float(tally.kills),
        **{f"kills of a {kind}": float(count) for kind, count in sorted(tally.killed.items())},
        "accepted runs": float(sum(len(siege.accepted) for siege in sieges)),
        **{name: sum(each[name] for each in outcome) for name in outcome[0]},
        "unreadable checkpoints": float(tally.unreadable),
        "checkpoints read": float(tally.readable),
        "trainings interrupted": float(len(repeated)),
        "epochs repeated, at most": max(repeated, default=0.0),
        "epochs repeated, mean": sum(repeated) / max(len(repeated), 1),
        "minutes": (time.monotonic() - begun) / 60,
    }
    none = Target(at_most=0)
    wrong = [*(name for name in outcome[0] if name != UNVERIFIED), "unreadable checkpoints"]
    return Report(
        figures,
        {
            "kills": Target(at_least=KILLS),
            "epochs repeated, at most": Target(at_most=1),
            **dict.fromkeys(wrong, none),
        },
    )


UNVERIFIED = "finished, but not verified: the child was killed"


def _undisturbed(home: Path) -> Mapping[str, Result]:
    """What each recipe (as JSON) comes to when nobody is killed."""
    store = open_store(home)
    runs = [store.create(recipe, "") for recipe in RECIPES]
    with serving(home):
        wait_until_idle(store)
    results = {store.run(run).recipe_json: _result(store, run) for run in runs}
    store.close()
    return results


def _result(store: Store, run: str) -> Result:
    weights = next((file.sha256 for file in store.artefacts(run) if file.kind == "safetensors"), "none")
    events = [event for _, event in store.events(run)]
    return Result(weights, tuple(event for event in events if isinstance(event, TuningStep | Measured)))


def _evaluated(home: Path, accepted: Sequence[str], undisturbed: Mapping[str, Result]) -> dict[str, float]:
    """How many of the runs went wrong, by what went wrong."""
    store = open_store(home)
    rows = {row.id: row for row in store.runs()}
    finished = [run for run in accepted if run in rows and rows[run].state == "finished"]
    unlike = [run for run in finished if _result(store, run) != undisturbed[rows[run].recipe_json]]
    with sqlite3.connect(store.path) as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    found = {
        "accepted runs lost": float(len(accepted) - len(finished)),
        "duplicated results": float(sum(duplicated(store, run) for run in rows)),
        "corrupt files": float(sum(corrupt_files(store, run) for run in finished) + (not sound)),
        "results unlike the undisturbed": float(len(unlike)),
        UNVERIFIED: float(sum(not _verified(store, run) for run in finished)),
    }
    store.close()
    return found


def duplicated(store: Store, run: str) -> bool:
    """Whether the run has ended twice, or tells of a training step twice or out of order, or has lost an event."""
    numbered = store.events(run)
    steps = [event.step for _, event in numbered if isinstance(event, TuningStep)]
    ends = sum(isinstance(event, Finished) for _, event in numbered)
    in_order = all(before < after for before, after in pairwise(steps))
    return ends > 1 or not in_order or [number for number, _ in numbered] != list(range(1, len(numbered) + 1))


def corrupt_files(store: Store, run: str) -> int:
    """How many of the run's files cannot be read or are not what it exported; 1 where it left none."""
    files = store.artefacts(run)
    wrong = 0 if files else 1
    for file in files:
        try:
            content = file.path.read_bytes()
            if file.kind == "safetensors":
                load_file(file.path)
            wrong += hashlib.sha256(content).hexdigest() != file.sha256
        except (OSError, SafetensorError):
            wrong += 1
    return wrong


def _verified(store: Store, run: str) -> bool:
    return any(isinstance(event, Verified) and event.same for _, event in store.events(run))
