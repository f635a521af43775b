"""pruning.search: the machine chooses how much of each layer goes."""

from collections.abc import Callable, Collection, Generator
from contextlib import closing
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import torch
from torch import nn

from pruning.api.choices import recipe_of
from pruning.api.extras import extra_packages
from pruning.api.inputs import Data, workload_of
from pruning.api.progress import Report, progress_bar
from pruning.criteria import Criterion
from pruning.errors import PruningError
from pruning.granularities import Granularity
from pruning.level_search.engine import SECONDS
from pruning.level_search.engine import search as searching
from pruning.level_search.latency.table import LatencyTable
from pruning.level_search.result import FrontPoint, Searched
from pruning.model.devices import default_device
from pruning.recipe.recipe import Recipe
from pruning.repair import Repair
from pruning.reporting.formatting import change_text, percent, score_text
from pruning.run.interruption import stop_on_interrupt
from pruning.selection.goal import CostKind, Goal
from pruning.workload import Task, Workload

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


@dataclass(frozen=True, repr=False)
class SearchResult:
    """What a search has found; it says it in a line, and shows its front in a notebook.

    Attributes:
        found: All of it in numbers.
    """

    found: Searched

    @property
    def best(self) -> FrontPoint:
        """The measured cut that fits the goal best; of a search that was stopped, the estimate that loses least."""
        return self.found.best or min(self.found.front, key=lambda point: point.drop)

    @property
    def recipe(self) -> Recipe:
        """The recipe of the best cut, for `pruning.prune`."""
        return self.best.recipe(self.found.recipe)

    @property
    def met(self) -> bool:
        """Whether the best cut keeps to all limits."""
        return self.found.met

    def table(self) -> "pd.DataFrame":
        """The front, the cheapest cut first: the share of the cost that is left, the drop, and how it is known."""
        with extra_packages():
            import pandas as pd

        return pd.DataFrame(
            [(point.cost, point.drop, point.half_width, point.provenance) for point in self.found.front],
            columns=["cost", "drop", "half_width", "provenance"],
        )

    def plot(self) -> "go.Figure":
        """Score over cost: estimated cuts hollow with their intervals, measured ones filled."""
        with extra_packages():
            from pruning.reporting.plots_search import front_figure

        return front_figure(self.found)

    def __repr__(self) -> str:
        best, metric = self.best, self.found.metric
        change = -best.drop if metric.better == "higher" else best.drop
        limits = "within what was asked" if self.met else "not within what was asked"
        return (
            f"{percent(best.cost)} of the {self.found.goal.cost} left, {change_text(change, metric)} "
            f"({best.provenance} on validation; dense {score_text(self.found.dense, metric)}), {limits}"
        )

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>"


def search(
    model: nn.Module | Workload,
    *,
    train: Data | None = None,
    validation: Data | None = None,
    cost: CostKind = "macs",
    budget: float | None = None,
    max_drop: float | None = None,
    criterion: str | Criterion = "taylor",
    granularity: str | Granularity = "channels",
    repair: str | Repair = "least_squares",
    keep_whole: Collection[str] | None = None,
    seconds: float = SECONDS,
    batch: int = 1,
    latencies: LatencyTable | None = None,
    seed: int = 0,
    task: Task | None = None,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> SearchResult:
    """Choose how much of each layer goes: the highest score within a budget, or the smallest cost with little lost.

    All cuts are made in one shot and repaired, without training. An interrupt (Ctrl-C, or the stop button of a
    notebook) gives what was found by then.

    Args:
        model: A trained module, or a Workload, which has its own data and task.
        train: Samples that the criterion and the repair look at, as for `prune`.
        validation: Samples on which cuts are compared; a tenth of `train` is set aside if they are left out.
        cost: What becomes small: parameters that are not zero, bytes of the file, MACs, or the time of a pass.
        budget: How much of the dense network's cost may be left, in (0, 1].
        max_drop: How much worse the score may be, in its own unit: 0.01 is a point of accuracy.
        criterion: What says which units are pruned first, by name or as an object.
        granularity: What is pruned together, by name or as an object.
        repair: How each cut is put right, by name or as an object.
        keep_whole: Names of layers that lose nothing.
        seconds: About how long it may take.
        batch: Samples in a pass, where the cost is its time.
        latencies: Times of layers that were measured before, perhaps on another machine.
        seed: Decides every random choice.
        task: Loss and score of the model; classification if it is left out.
        device: Where to compute; the accelerator if there is one.
        progress: Whether a progress bar is shown, if tqdm is installed.

    Returns:
        The best cut with its recipe, and the front of cost and score.

    Raises:
        RecipeError: The limits cannot be met, or choices do not go together.
        WorkloadError: The model or the data cannot be used.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> x, y = torch.randn(300, 6), torch.arange(300) % 3
        >>> train, validation = (x[:200], y[:200]), (x[200:], y[200:])
        >>> net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
        >>> found = search(net, train=train, validation=validation, cost="parameters", budget=0.5, progress=False)
        >>> found.best.cost <= 0.5
        True

    Source:
        One level for each layer by integer programming: Frantar and Alistarh 2022, arXiv 2201.13096 (SPDY); what adds
        up over layers: squares of what moves the outputs.
    """
    kept = keep_whole or ()
    goal = Goal(cost, budget, max_drop)
    workload = workload_of(
        model, train, validation, None if isinstance(model, Workload) else validation or train, task, seed
    )
    recipe = recipe_of(
        workload.name, criterion=criterion, granularity=granularity, repair=repair, keep_whole=kept, seed=seed
    )
    place = default_device() if device is None else torch.device(device)
    with (
        progress_bar(progress) as report,
        stop_on_interrupt(lambda: report(None, "stopping: what was found is kept")) as stop,
    ):
        found = _found(searching(workload, recipe, goal, seconds, place, batch, latencies), stop, report)
    if found is None or not (found.best or found.front):
        raise PruningError("the search was stopped before it knew anything; give it more time")
    return SearchResult(found)


def _found(making: Generator[Searched, None, Searched], stop: Callable[[], bool], report: Report) -> Searched | None:
    """All that is found, or as much of it as there is when `stop` is true."""
    found: Searched | None = None
    with closing(making):
        while True:
            try:
                found = next(making)
            except StopIteration as end:
                return end.value
            if stop():
                return found
            report(found.evaluations / max(found.planned, 1), found.phase)
