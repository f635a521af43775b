"""How far a halving is: its settings with what they came to. Plain values that the store keeps; no torch, no Optuna."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import msgspec

from pruning.errors import JobError
from pruning.metric import ACCURACY, Metric

State = Literal["going on", "stopped early", "finished", "failed"]


@dataclass(frozen=True)
class Score:
    """What a setting came to on a rung: the run, its validation score and how much worse than dense that is, the share
    of the cost that is left, and what all of it is worth.
    """

    run: str
    validation: float
    drop: float
    left: float
    worth: float
    metric: Metric = ACCURACY


@dataclass(frozen=True)
class Entry:
    """A setting that competes.

    Attributes:
        number: The order in which settings were begun, from 0.
        values: Path of a varied field -> value.
        scores: What it came to on each rung so far.
        state: `stopped early`: others were better with as much training. `finished`: it went through all rungs.
        sentence: Why it failed; else empty.
    """

    number: int
    values: Mapping[str, Any]
    scores: tuple[Score, ...] = ()
    state: State = "going on"
    sentence: str = ""


@dataclass(frozen=True)
class Ranking:
    """The settings, the best first: by how far they came, then by what they came to there.

    Attributes:
        entries: Every setting that was begun.
        combinations: How many the grid has.
        refused: Settings that do not go together, with the reason.
    """

    entries: tuple[Entry, ...] = ()
    combinations: int = 0
    refused: tuple[tuple[Mapping[str, Any], str], ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every setting was tried and none goes on."""
        going_on = any(entry.state == "going on" for entry in self.entries)
        return len(self.entries) + len(self.refused) >= self.combinations > 0 and not going_on

    @property
    def best(self) -> Entry | None:
        """None before any run is over."""
        return next((entry for entry in self.entries if entry.scores), None)


def ranked(
    entries: Sequence[Entry], combinations: int, refused: Sequence[tuple[Mapping[str, Any], str]] = ()
) -> Ranking:
    """The entries in order."""

    def order(entry: Entry) -> tuple[bool, int, float, int]:
        worth = entry.scores[-1].worth if entry.scores else 0.0
        return entry.state == "failed", -len(entry.scores), -worth, entry.number

    return Ranking(tuple(sorted(entries, key=order)), combinations, tuple(refused))


def ranking_to_json(ranking: Ranking) -> str:
    return json.dumps(asdict(ranking), allow_nan=False)


def ranking_from_json(text: str) -> Ranking:
    """What `ranking_to_json` wrote; an empty text is a ranking of nothing. JobError if it cannot be read."""
    try:
        return msgspec.json.decode(text, type=Ranking) if text else Ranking()
    except msgspec.MsgspecError as error:
        raise JobError(f"what the halving came to cannot be read ({error}); its runs are there still") from None
