"""Score against compression: the points of a sweep, and those of them that no other point beats."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pruning.metric import ACCURACY, Metric
from pruning.reporting.run_history import SIZES, Size
from pruning.reporting.sweep_table import Group, Mean, SweepTable, Trial, mean

COMPRESSIONS: Mapping[Size, str] = {
    "nonzero": "parameters / non-zeros",
    "gzip_bytes": "size before / after, gzipped",
    "bytes": "size before / after",
    "macs": "MACs before / after",
}
"""What compression can be counted in; the dense network has 1."""

_DENSE: Mapping[Size, Callable[[Trial], int]] = {
    **{size: (lambda trial, of=of: of(trial.dense)) for size, of in SIZES.items()},
    "nonzero": lambda trial: trial.dense.parameters,
}


@dataclass(frozen=True)
class TradeoffPoint:
    """A setting of a sweep: how many times smaller it is, and its score; `front`: no other is better in both.

    `series` is what points of one colour have in common, `runs` how many seeds it is the mean of.
    """

    label: str
    series: str
    role: str
    compression: float
    score: Mean
    front: bool

    @property
    def runs(self) -> int:
        return self.score.count


def tradeoff(table: SweepTable, size: Size = "nonzero") -> list[TradeoffPoint]:
    """A point for each group, the grid's and the controls'. Controls are never on the front: nobody chose them."""
    grid = [group for group in table.groups if group.role == "grid"]
    places = {id(group): _place(group, size) for group in table.groups}
    metric = table.metric or ACCURACY
    best = {id(grid[i]) for i in front([(*_pair(places[id(group)]),) for group in grid], metric)}
    return [
        TradeoffPoint(group.label, _series(group), group.role, *places[id(group)], front=id(group) in best)
        for group in table.groups
    ]


def front(points: Sequence[tuple[float, float]], metric: Metric = ACCURACY) -> list[int]:
    """Places of the points (compression, score) that are on the Pareto front, in order of compression.

    A point is not on it if another compresses at least as much and scores at least as well, and one of both better.

    Examples:
        >>> front([(2.0, 0.9), (4.0, 0.8), (3.0, 0.7), (4.0, 0.8)])
        [0, 1, 3]
    """
    good = [(compression, -metric.drop(score)) for compression, score in points]

    def beaten(one: tuple[float, float]) -> bool:
        return any(other[0] >= one[0] and other[1] >= one[1] and other != one for other in good)

    return sorted((i for i, point in enumerate(good) if not beaten(point)), key=lambda i: good[i][0])


def series_of(points: Iterable[TradeoffPoint]) -> list[str]:
    """The series in the order of their first points."""
    return list(dict.fromkeys(point.series for point in points))


def _place(group: Group, size: Size) -> tuple[float, Mean]:
    of = SIZES[size]
    ratios = [_DENSE[size](trial) / max(of(trial.tuned), 1) for trial in group.trials]
    return mean(ratios).value, mean([trial.tuned.score for trial in group.trials])


def _pair(place: tuple[float, Mean]) -> tuple[float, float]:
    return place[0], place[1].value


def _series(group: Group) -> str:
    """The settings but for numbers: points along an amount belong together."""
    if group.role != "grid":
        return f"{group.role} control"
    words = [value for value in group.settings if value not in (None, "none") and not _is_number(value)]
    return ", ".join(word.replace("_", " ") for word in words) or "grid"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
