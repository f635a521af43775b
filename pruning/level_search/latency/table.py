"""A table of times, and its file: a machine measures it once, and a search for that machine may run on another."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pruning.errors import PruningError
from pruning.files.atomic_write import write_whole
from pruning.level_search.additive import Additive, Levels, Values

VERSION = 1


@dataclass(frozen=True, eq=False)
class LatencyTable:
    """Milliseconds of a pass, as a sum over the groups' widths.

    Attributes:
        device: What measured it, in words.
        torch: torch's version.
        threads: On how many cores of a CPU.
        batch: Samples in a pass.
        ladder: Group -> how many of its units were pruned where it was measured, ascending from 0.
        times: Milliseconds over the ladder: of the whole network `base`, and what widths and pairs of them add.
        remainder: Part of `base` that belongs to no layer: what the whole pass took more than all its parts.
        error: The largest difference between the sum and the whole pass, as a share of that, over all networks that
            were measured.
    """

    device: str
    torch: str
    threads: int
    batch: int
    ladder: Levels
    times: Additive
    remainder: float
    error: float

    def at(self, levels: Levels) -> Additive:
        """Milliseconds for other numbers of pruned units, between those that were measured by lines."""
        single = {
            name: np.interp(np.array(counts, dtype=float), self.ladder[name], self.times.single[name])
            for name, counts in levels.items()
        }
        pairs = {
            (first, second): _between(values, self.ladder[first], self.ladder[second], levels[first], levels[second])
            for (first, second), values in self.times.pairs.items()
        }
        return Additive(self.times.base, single, pairs)

    def milliseconds(self, pruned: Mapping[str, int]) -> float:
        """Of the network with so many units of each group pruned."""
        return self.at({name: (pruned.get(name, 0),) for name in self.ladder}).of(dict.fromkeys(self.ladder, 0))

    def write(self, file: Path) -> None:
        """As JSON."""
        plain = {
            "version": VERSION, "device": self.device, "torch": self.torch, "threads": self.threads,
            "batch": self.batch, "remainder_ms": self.remainder, "error": self.error, "base_ms": self.times.base,
            "groups": [
                {"name": name, "pruned": list(counts), "more_ms": self.times.single[name].tolist()}
                for name, counts in self.ladder.items()
            ],
            "pairs": [{"groups": list(pair), "more_ms": values.tolist()} for pair, values in self.times.pairs.items()],
        }  # fmt: skip
        write_whole(file, json.dumps(plain, indent=1, allow_nan=False).encode())


def read_table(file: Path) -> LatencyTable:
    """What `LatencyTable.write` has written. PruningError that names the file where it is something else."""
    try:
        plain: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if plain["version"] != VERSION:
            raise ValueError(f"its version is {plain['version']}")
        single = {group["name"]: np.array(group["more_ms"], dtype=float) for group in plain["groups"]}
        pairs = {
            (pair["groups"][0], pair["groups"][1]): np.array(pair["more_ms"], dtype=float) for pair in plain["pairs"]
        }
        ladder = {group["name"]: tuple(map(int, group["pruned"])) for group in plain["groups"]}
        times = Additive(float(plain["base_ms"]), single, pairs)
        about = (str(plain["device"]), str(plain["torch"]), int(plain["threads"]), int(plain["batch"]))
        return LatencyTable(*about, ladder, times, float(plain["remainder_ms"]), float(plain["error"]))
    except OSError as error:
        raise PruningError(f"{file} cannot be read ({error.strerror}); name a table of latencies") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise PruningError(
            f"{file} is no table of latencies of version {VERSION} ({error!r}); "
            "`python -m pruning latency MODEL --out FILE` writes one"
        ) from error


def _between(
    values: Values, down: Sequence[int], across: Sequence[int], one: Sequence[int], other: Sequence[int]
) -> Values:
    """Bilinear interpolation of values over two ladders, at other numbers of either."""
    rows = [np.interp(np.array(other, dtype=float), across, row) for row in values]
    columns = [np.interp(np.array(one, dtype=float), down, column) for column in np.array(rows).T]
    return np.array(columns).T
