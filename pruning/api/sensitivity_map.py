"""pruning.sensitivity: how much worse the score is with each layer alone pruned to each level."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import torch
from torch import nn

from pruning.api.choices import choice, listed
from pruning.api.extras import extra_packages
from pruning.api.inputs import Data, measured_on
from pruning.api.progress import Report, progress_bar
from pruning.criteria import CRITERIA, Criterion
from pruning.errors import RecipeError
from pruning.evaluation.accuracy import small_change
from pruning.evaluation.estimate import Estimate
from pruning.granularities import GRANULARITIES, Granularity
from pruning.layer_sensitivity.analysis import map_sensitivity
from pruning.layer_sensitivity.result import LEVELS, Sensitivity, largest_cuts, suggested
from pruning.model.devices import default_device
from pruning.recipe.recipe import Recipe
from pruning.repair import REPAIRS, Repair
from pruning.reporting.formatting import bare_change, changes_of, count, percent, score_text
from pruning.run.interruption import stop_on_interrupt
from pruning.workload import Task, Workload

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


@dataclass(frozen=True, repr=False)
class SensitivityMap:
    """How much each layer alone costs at each level; it draws itself in a notebook.

    Attributes:
        map: Every cell in numbers.
        recipe: Criterion and granularity that it was made with.
        max_drop: How much worse the score may be at a layer's largest cut: of accuracy in [0, 1], else in its own unit.
    """

    map: Sensitivity
    recipe: Recipe
    max_drop: float

    @property
    def cuts(self) -> Mapping[str, float]:
        """Layer -> the largest level, in [0, 1], that costs at most `max_drop`; 0.0 if there is none."""
        return largest_cuts(self.map, self.max_drop)

    def suggest(self) -> Recipe:
        """The recipe that prunes each layer by its own largest cut. Together they cost more than alone: tune it."""
        return suggested(self.map, self.recipe, self.max_drop)

    def table(self) -> "pd.DataFrame":
        """The map in numbers.

        Returns:
            A row for each layer and a column for each level: the change of the score against dense, of accuracy in
            [-1, 1], else in the score's own unit.
        """
        with extra_packages():
            import pandas as pd

        rows = {row.name: {cell.level: cell.estimate.change for cell in row.cells} for row in self.map.rows}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="layer", columns="level")

    def plot(self, layers: Sequence[str] | None = None) -> "go.Figure":
        """The score over the level, with 95 % bands, a line for each layer.

        Args:
            layers: Which layers, four at most; the four that lose most if they are left out.

        Returns:
            A Plotly figure; the dense network is a dashed line.

        Raises:
            RecipeError: A layer is not in the map.
        """
        with extra_packages():
            from pruning.reporting.plots_sensitivity import MOST_CURVES, curve_points, curves_figure

        rows = {row.name: row for row in self.map.rows}
        if unknown := [name for name in layers or () if name not in rows]:
            raise RecipeError(f"{unknown[0]} is not a layer of the map; use {', '.join(rows)}")
        dense, metric = self.map.dense, self.map.metric
        worst = sorted(rows, key=lambda name: -sum(metric.drop(cell.estimate.change) for cell in rows[name].cells))
        chosen = [rows[name] for name in (worst if layers is None else layers)[:MOST_CURVES]]
        return curves_figure(curve_points(chosen, dense, metric), dense, height=380, metric=metric)

    def __repr__(self) -> str:
        heads = [percent(level, 0) for level in self.map.levels]
        rows = [["", *heads]] + [
            [row.name, *(self._change(cell.estimate) if cell.estimate.samples else "?" for cell in row.cells)]
            for row in self.map.rows
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(heads) + 1)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([self._headline(), *lines])

    def _repr_html_(self) -> str:
        with extra_packages():
            from pruning.reporting.pictures import map_html

        return f"<p>{escape(self._headline())}</p>{map_html(self.map, self.cuts)}"

    def _headline(self) -> str:
        done = "" if self.map.done else ", unfinished"
        repaired = "" if self.map.repair == "none" else f" and repaired by {self.map.repair}"
        return (
            f"Change of {changes_of(self.map.metric)}, each layer pruned alone{repaired}; dense "
            f"{score_text(self.map.dense, self.map.metric)} of {count(self.map.total)} samples{done}"
        )

    def _change(self, seen: Estimate) -> str:
        return bare_change(seen.change, self.map.metric, half_width=seen.half_width)


def sensitivity(
    model: nn.Module | Workload,
    data: Data | None = None,
    *,
    criterion: str | Criterion = "magnitude",
    granularity: str | Granularity = "weights",
    repair: str | Repair = "none",
    levels: Sequence[float] = LEVELS,
    half_width: float | None = None,
    max_drop: float | None = None,
    seed: int = 0,
    task: Task | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> SensitivityMap:
    """Prune each layer alone to each level and evaluate it, on as few samples as it takes to know.

    An interrupt (Ctrl-C, or the stop button of a notebook) gives the map as far as it has been made.

    Args:
        model: A trained module, or a Workload, which has its own data and task.
        data: Samples with their targets that the model was not trained on, as for `prune`; every cell is evaluated on
            them.
        criterion: What says which units are pruned first, by name or as an object.
        granularity: What is pruned together, by name or as an object.
        repair: How each cut is put right, without labels, before it is evaluated, by name or as an object. The map then
            says what a layer costs after repair, and takes as many repairs as it has cells. Inputs come from `data`,
            or of a Workload from its training split.
        levels: Shares of a layer's units that are pruned, each above 0 and below 1.
        half_width: How narrow the 95 % interval of each cell becomes, in the unit of the score (of accuracy in [0, 1]);
            0 evaluates all samples. If it is left out: 0.01 of accuracy, and of a score without bounds a round number
            near a twentieth of the dense score.
        max_drop: How much worse the score may become by a cut that counts as harmless, in the unit of the score. If it
            is left out: as `half_width`.
        seed: Draws the samples that the criterion looks at.
        task: Loss and score of the model; classification if it is left out.
        device: Where to compute; the accelerator if there is one.
        progress: Whether a progress bar is shown, if tqdm is installed.

    Returns:
        The map, which draws itself in a notebook.

    Raises:
        RecipeError: There is no such criterion, granularity or repair, or a level is not between 0 and 1.
        WorkloadError: The model or the data cannot be used.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> x, y = torch.randn(100, 6), torch.arange(100) % 3
        >>> net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> found = sensitivity(net, (x, y), levels=(0.5, 0.9), progress=False)
        >>> found.table().shape
        (2, 2)
        >>> found.suggest().scope
        WithinLayer()

    Source:
        Pruning one layer at a time: Li et al. 2017, arXiv 1608.08710.
    """
    if wrong := [level for level in levels if not 0 < level < 1]:
        raise RecipeError(f"levels has {wrong[0]:g}; a level is a share above 0 and below 1, such as 0.5")
    workload = measured_on(model, data, task)
    recipe = Recipe(
        workload.name,
        criterion=listed(choice("criterion", criterion, CRITERIA)),
        granularity=choice("granularity", granularity, GRANULARITIES),
        seed=seed,
        repair=choice("repair", repair, REPAIRS),
    )
    place = default_device() if device is None else torch.device(device)
    if half_width is None or max_drop is None:
        small = small_change(workload, place)
        half_width, max_drop = small if half_width is None else half_width, small if max_drop is None else max_drop
    with (
        progress_bar(progress) as report,
        stop_on_interrupt(lambda: report(None, "stopping: the map is kept as it is")) as stop,
    ):
        making = map_sensitivity(workload, recipe, tuple(levels), half_width, place, max_drop)
        sensed = _made(making, stop, report)
    return SensitivityMap(sensed, recipe, max_drop)


def _made(making: Generator[Sensitivity, None, Sensitivity], stop: Callable[[], bool], report: Report) -> Sensitivity:
    """The whole map, or as much of it as there is when `stop` is true."""
    with closing(making):
        while True:
            try:
                sensed = next(making)
            except StopIteration as end:
                return end.value
            if stop():
                return sensed
            rows = sum(row.done for row in sensed.rows)
            report(sensed.spent / max(sensed.planned, 1), f"{rows} of {len(sensed.rows)} layers")
