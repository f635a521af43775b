"""Published results of pruned networks, to stand beside one's own runs on the same network and the same data.

They are in `literature.csv`, each with its source. A result belongs to runs whose workload has its name and whose dense
network has as many parameters; `examples/mnist_lenet.py` makes the workloads.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pruning.metric import ACCURACY
from pruning.reporting.formatting import MINUS, THIN, significant
from pruning.reporting.sweep_table import Trial

FILE = Path(__file__).with_name("literature.csv")


@dataclass(frozen=True)
class Published:
    """A result as its source reports it. Errors are in percent of the test samples; None where the source has none.

    `compression` is the dense network's parameters over those that are not zero.
    """

    workload: str
    parameters: int
    method: str
    year: int
    dense_error: float | None
    error: float
    compression: float
    source: str

    @property
    def score(self) -> float:
        """The test accuracy, a share of 1."""
        return 1 - self.error / 100


@cache
def published() -> tuple[Published, ...]:
    """All results that are kept."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return tuple(
            Published(
                workload=row["workload"],
                parameters=int(row["parameters"]),
                method=row["method"],
                year=int(row["year"]),
                dense_error=float(row["dense_error_percent"]) if row["dense_error_percent"] else None,
                error=float(row["error_percent"]),
                compression=float(row["compression"]),
                source=row["source"],
            )
            for row in csv.DictReader(file)
        )


def published_beside(trials: Iterable[Trial]) -> list[Published]:
    """The results on the network and data of the runs; none where the runs are of several, or scored otherwise."""
    every = list(trials)
    found = {(str(trial.recipe.get("workload")), trial.dense.parameters) for trial in every}
    if len(found) != 1 or any(trial.metric != ACCURACY for trial in every):
        return []
    return [result for result in published() if (result.workload, result.parameters) in found]


HEADS = ("published", "year", "error (test)", "change from dense", "compression", "source")


def published_rows(results: Iterable[Published]) -> list[list[str]]:
    """The results as rows of a table with `HEADS`, the least compressed first."""
    return [
        [
            result.method,
            str(result.year),
            f"{result.error:.2f}{THIN}%",
            _change(result),
            f"{significant(result.compression)}×",
            result.source,
        ]
        for result in sorted(results, key=lambda result: result.compression)
    ]


def _change(result: Published) -> str:
    """Of the error: more is worse."""
    if result.dense_error is None:
        return "not reported"
    change = result.error - result.dense_error
    sign = "+" if change > 0 else MINUS if change < 0 else "±"
    return f"{sign}{abs(change):.2f}{THIN}points"
