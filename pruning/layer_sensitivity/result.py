"""How much accuracy each layer costs at each level: the values of a sensitivity map, and what follows from them."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pruning.evaluation.estimate import Estimate, highest_drop
from pruning.metric import ACCURACY, Metric
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import PerLayer
from pruning.selection.scopes import WithinLayer

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Sparsities of one layer alone."""


@dataclass(frozen=True)
class SensitivityCell:
    """One row cut alone to `level`: `pruned` of `units` were pruned; the estimate is on the validation split.

    `done` means that the estimate is as narrow as was asked, or measured, and decides what it has to decide.
    """

    level: float
    units: int
    pruned: int
    estimate: Estimate
    done: bool


@dataclass(frozen=True)
class SensitivityRow:
    """A unit group at all levels, lowest first. `members` are the layers that hold its units, one or more.

    `full_passes` is empty where only what comes after the layer was computed anew, else it says why not.
    """

    name: str
    members: tuple[str, ...]
    units: int
    cells: tuple[SensitivityCell, ...]
    full_passes: str = ""

    @property
    def done(self) -> bool:
        return all(cell.done for cell in self.cells)


@dataclass(frozen=True)
class Sensitivity:
    """The map so far: every row cut alone to every level, `dense` the uncut network's score on all `total` samples.

    `half_width` is how narrow the cells' 95 % intervals are asked to be, in the unit of the `metric`; 0 asks for all
    samples. `spent` of about `planned` samples have gone through the network; `left_out` says of layers without a row
    why. Where there is a `max_drop`, cells are evaluated further until it is known which is each row's largest cut that
    costs no more. `repair` names how each cut was repaired before it was evaluated, "none" where it was not.
    """

    rows: tuple[SensitivityRow, ...]
    levels: tuple[float, ...]
    dense: float
    total: int
    half_width: float
    spent: int
    planned: int
    seconds: float
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    max_drop: float | None = None
    metric: Metric = ACCURACY
    repair: str = "none"

    @property
    def done(self) -> bool:
        return all(row.done for row in self.rows)


def merged(parts: Sequence[Sensitivity]) -> Sensitivity:
    """One map of the rows that were dealt out to several workers: row i of n parts is the next of part i mod n."""
    most = max(len(part.rows) for part in parts)
    rows = tuple(part.rows[i] for i in range(most) for part in parts if i < len(part.rows))
    spent, planned = (sum(getattr(part, count) for part in parts) for count in ("spent", "planned"))
    return replace(parts[0], rows=rows, spent=spent, planned=planned, seconds=max(part.seconds for part in parts))


def largest_cuts(sensed: Sensitivity, max_drop: float) -> dict[str, float]:
    """Row -> largest level that costs at most `max_drop`, as do all lower levels; 0.0 if there is none.

    The far end of each cell's 95 % interval counts: of a hundred cells about five may cost more.
    """
    cuts: dict[str, float] = {}
    for row in sensed.rows:
        cuts[row.name] = 0.0
        for cell in row.cells:
            if not highest_drop(cell.estimate, sensed.metric) <= max_drop:  # nor where a score is NaN
                break
            cuts[row.name] = cell.level
    return cuts


def suggested(sensed: Sensitivity, recipe: Recipe, max_drop: float) -> Recipe:
    """The recipe with each layer at its largest cut, but for those that the recipe keeps whole.

    Units compete within their layer, as in the map. Together the cuts cost more than alone: measure it, tune it.
    """
    cuts = largest_cuts(sensed, max_drop)
    whole = {row.name for row in sensed.rows if {row.name, *row.members} & recipe.keep_whole}
    shares = {name: share for name, share in cuts.items() if name not in whole}
    return replace(recipe, scope=WithinLayer(), amount=PerLayer(shares))


def to_dict(sensed: Sensitivity) -> dict[str, Any]:
    """A JSON-able dict of the map; scores and half-widths in the unit of the metric."""
    return {"version": 1, **asdict(sensed), "done": sensed.done}


def to_csv(sensed: Sensitivity) -> str:
    """A line for each cell; scores and half-widths in the unit of the metric."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(
        ["layer", "members", "level", "units", "pruned", "score", "change", "half_width", "samples", "total"]
    )
    for row in sensed.rows:
        for cell in row.cells:
            seen = cell.estimate
            lines.writerow([
                row.name, " ".join(row.members), cell.level, cell.units, cell.pruned,
                seen.score, seen.change, seen.half_width, seen.samples, seen.total,
            ])  # fmt: skip
    return text.getvalue()
