"""The sensitivity map: every row cut alone to every level, evaluated on as few samples as it takes to know.

Work that cells share is done once: one pass of the dense network keeps what each layer sees, only what follows a layer
is computed for its cuts (a suffix of the network), levels at which as many units are pruned are one cut, and a cut that
prunes none is the dense network. The work has phases: estimate all cells but those beyond a collapse to chance, then
these too, then evaluate anew what may not come from incremental layers, then decide which is each row's largest cut.
In each phase samples come in batches, each evaluated for all cells that need it.
"""

import copy
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn

from pruning.criteria import unit_scores
from pruning.criteria.calibration import Calibration
from pruning.evaluation.accuracy import BATCH_ON_ACCELERATOR, Evaluator, small_change
from pruning.evaluation.estimate import Estimate
from pruning.evaluation.regression_estimator import DenseReference
from pruning.evaluation.sequential_bounds import FIRST_LOOK, AtAllLooks, Interval, UntilNarrow, looks
from pruning.layer_sensitivity.activation_cache import CACHE_BYTES, ActivationCache, CachedBatch
from pruning.layer_sensitivity.cell_progress import CellProgress, Computation, Goal, RowProgress
from pruning.layer_sensitivity.layer_cuts import KEPT_BYTES, CutModel, LayerCut, bytes_of_largest
from pruning.layer_sensitivity.repaired import RepairedSensitivity
from pruning.layer_sensitivity.result import LEVELS, Sensitivity, SensitivityCell, SensitivityRow
from pruning.layer_sensitivity.suffix_graph import GraphWalk
from pruning.metric import Metric
from pruning.model.costs import cost_model
from pruning.model.devices import default_device, full_precision
from pruning.model.preparation import open_model
from pruning.model.units import UnitGroup
from pruning.pipeline.eligibility import scorable_groups
from pruning.recipe.catalog import kind_of
from pruning.recipe.recipe import Recipe
from pruning.repair import NoRepair
from pruning.repair.mended import Mender
from pruning.workload import Workload, metric_of, sample_scores

CACHED_BYTES = 5 * 2**20  # of a batch's largest activations: those of two cores' caches
FIRST_KNOWN = 2000  # samples of the dense network that the first look goes by


@dataclass(eq=False)
class SensitivityAnalysis:
    """A map in the making. `model` is the dense network, `scores` are those of the groups' units.

    It may be asked for a narrower map at any time, and goes on from the samples that it has evaluated. `known` is None
    where the dense network has not been evaluated: then its pass is the first work.
    """

    model: nn.Module
    groups: Sequence[UnitGroup]
    scores: Mapping[str, Tensor]
    levels: tuple[float, ...]
    known: DenseReference | None
    evaluator: Evaluator
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    seconds: float = 0.0
    spent: int = 0
    _rows: list[RowProgress] = field(init=False, default_factory=list[RowProgress])
    _work_left: Iterator[None] | None = field(init=False, default=None)
    _half_width: float = field(init=False, default=0.0)
    _max_drop: float | None = field(init=False, default=None)
    _metric: Metric = field(init=False)

    def __post_init__(self) -> None:
        self.levels = tuple(sorted(set(self.levels)))
        if any(module.training for module in self.model.modules()):
            self.model = copy.deepcopy(self.model).eval()
        self._cut_model = CutModel(self.model)
        self._activations = ActivationCache(self.model, self.known, self.evaluator)
        self._metric = metric_of(self.evaluator.task)

    @property
    def most_bytes(self) -> int:
        """Of memory: activations, cut tensors, masks of all cuts, all samples' scores, the copy of the network.

        An incremental layer holds a weight once as it is and once in parts, each value with its place.
        """
        weights = sum(parameter.numel() for parameter in self.model.parameters())
        evaluated = 4 * len(self.evaluator) * len(self.groups) * len(self.levels)
        return CACHE_BYTES + KEPT_BYTES + weights * (len(self.levels) + 4 + 16) + evaluated

    @torch.no_grad()
    def advance(self, seconds: float, half_width: float, max_drop: float | None = None) -> Sensitivity:
        """Evaluate more samples for about so many seconds, or until every half-width is at most this; 0: all samples.

        After that, until it is known of each row which is its largest cut that costs at most `max_drop`.
        """
        begun = time.monotonic()
        if self._work_left is None or (half_width, max_drop) != (self._half_width, self._max_drop):
            if half_width != self._half_width:
                for cell in self._cells():
                    cell.goal = Goal.NARROW
            self._half_width, self._max_drop = half_width, max_drop
            self._work_left = self._phases()
        work, self._work_left = self._work_left, None  # a generator that has ended or raised is of no more use
        with full_precision():
            for _ in work:
                if time.monotonic() - begun >= seconds:
                    self._work_left = work
                    break
        self.seconds += time.monotonic() - begun
        return self._map()

    def all_scores(self) -> Iterator[Tensor]:
        """Per-sample scores [n], in the split's order, of every cut of which all samples have been evaluated."""
        for cell in self._cells():
            if cell.samples == len(self.evaluator):
                yield self._activations.in_order_of_the_split(cell.scores)

    def _cells(self) -> Iterator[CellProgress]:
        return (cell for row in self._rows for cell in row.cells)

    # --- the phases of work

    def _phases(self) -> Iterator[None]:
        """All the work that is left, phase by phase, in small steps."""
        if not self._rows:
            self._make_rows()
        interval = UntilNarrow(self._half_width) if self._half_width else AtAllLooks(len(self.evaluator))
        self._estimate_anew(interval)
        yield from self._narrow(interval, beyond_collapse=False)
        yield from self._narrow(interval, beyond_collapse=True)
        yield from self._narrow(interval, beyond_collapse=True)  # what began anew, exactly, at its last sample
        yield from self._evaluate_dense(len(self.evaluator))
        if self._max_drop is not None:
            yield from self._decide(self._max_drop)

    def _make_rows(self) -> None:
        """Make all rows and cuts, and evaluate enough of the dense network for a first look at them."""
        example, _ = self._activations.inputs(0, min(16, len(self.evaluator)))
        walk = GraphWalk(self.model, self._cut_model.work, example)
        cost = cost_model(self.model, example[:1])
        rows = [self._cut_model.row(group, self.scores, self.levels, walk, cost) for group in self.groups]
        most = BATCH_ON_ACCELERATOR
        if self.evaluator.device.type == "cpu":  # there it matters much whether a network's activations fit the cache
            most = min(max(CACHED_BYTES // bytes_of_largest(self._cut_model.work, example), 16), most)
        self._activations.watch(walk, [row.suffix for row in rows if row.suffix is not None], most)
        for _ in self._evaluate_dense(FIRST_KNOWN if rows else len(self.evaluator)):
            pass
        self._rows = [RowProgress(row, [self._not_begun(cut) for cut in row.cuts]) for row in rows]

    def _not_begun(self, cut: LayerCut) -> CellProgress:
        """Nothing is known of a cut, but where it prunes no unit: that is the dense network."""
        total = len(self.evaluator)
        estimate = Estimate(0.0, 1.0, 0.0, 0, total) if cut.pruned else Estimate(0.0, 0.0, 0.0, total, total)
        return CellProgress(cut, torch.zeros(total), estimate, enough=total)

    def _estimate_anew(self, interval: Interval) -> None:
        """Estimate all cells by another interval. An exact map begins anew what incremental layers have computed."""
        first_look = looks(len(self.evaluator))[0]
        for cell in self._cells():
            if not cell.samples:
                continue
            if cell.computation is Computation.INCREMENTAL and not self._half_width:
                cell.begin_exactly()
            elif cell.samples >= first_look:  # also what was evaluated, but not estimated before a break
                cell.enough = 0
                holds = AtAllLooks(len(self.evaluator)) if cell.goal is Goal.DECISION else interval
                self._estimate([cell], cell.samples, holds)

    def _narrow(self, interval: Interval, beyond_collapse: bool) -> Iterator[None]:
        """Evaluate cells on one batch after another until they are as narrow as asked.

        Without `beyond_collapse` all but those whose smaller neighbour has surely left no more than chance.
        """
        for begin, end in self._activations.batches:
            yield from self._evaluate_dense(FIRST_KNOWN if end <= FIRST_LOOK else len(self.evaluator))
            assert self.known is not None
            wanted: dict[RowProgress, list[CellProgress]] = {}
            for row in self._rows:
                here = [cell for cell in row.cells if cell.samples == begin and cell.wide(self._half_width)]
                if not beyond_collapse:
                    here = [cell for cell in here if not row.collapsed(cell, self.known.chance)]
                if here:
                    wanted[row] = here
            if wanted:
                yield from self._evaluate(wanted, begin, end)
                self._estimate([cell for cells in wanted.values() for cell in cells], end, interval)

    def _decide(self, max_drop: float) -> Iterator[None]:
        """Evaluate in each row the cell that decides which is its largest cut within the limit, until all have."""
        total = len(self.evaluator)
        while open_ := self._undecided(max_drop):
            for cell in open_.values():
                cell.goal, cell.enough = Goal.DECISION, total
            begin = min(cell.samples for cell in open_.values())
            end = next(end for start, end in self._activations.batches if start == begin)
            now = {row: [cell] for row, cell in open_.items() if cell.samples == begin}
            yield from self._evaluate(now, begin, end)
            self._estimate([cell for (cell,) in now.values()], end, AtAllLooks(total))

    def _undecided(self, max_drop: float) -> dict[RowProgress, CellProgress]:
        found = {row: row.deciding(max_drop, self._metric) for row in self._rows}
        return {row: cell for row, cell in found.items() if cell is not None}

    # --- what every phase is made of

    def _evaluate_dense(self, samples: int) -> Iterator[None]:
        """Let the dense network evaluate at least so many samples, if it has not."""
        yield from self._activations.know(samples)
        self.known = self._activations.known

    def _evaluate(self, wanted: Mapping[RowProgress, Sequence[CellProgress]], begin: int, end: int) -> Iterator[None]:
        """Evaluate the cells on a batch, each by what follows its layer."""
        batch = self._activations.batch(begin, end)
        row_of = {row.cuts.suffix: row for row in wanted if row.cuts.suffix is not None}
        for row in wanted:
            if row.cuts.suffix is None:
                yield from self._evaluate_row(row, wanted[row], partial(self._cut_model.work, batch.inputs), batch)
        for suffix, values in self._activations.stops(batch, list(row_of)):
            row = row_of[suffix]
            yield from self._evaluate_row(row, wanted[row], partial(suffix, values), batch)

    def _evaluate_row(
        self, row: RowProgress, cells: Sequence[CellProgress], run: Callable[[], Tensor], batch: CachedBatch
    ) -> Iterator[None]:
        """Evaluate cells of a row on a batch, the deepest cut first; `run` computes what follows the layer, or all."""
        for cell in reversed(cells):
            exactly = cell.computation is Computation.EXACT or not self._half_width
            if row.cuts.incremental and not exactly:
                cell.computation = Computation.INCREMENTAL
            with self._cut_model.cut(row.cuts, cell.cut, exactly):
                output = run()
            cell.scores[batch.at : batch.upto] = sample_scores(self.evaluator.task, output, batch.target)
            cell.samples = batch.upto
            self.spent += len(batch.target)
            yield
        for layer in row.cuts.incremental.values():
            layer.forget()

    def _estimate(self, cells: Sequence[CellProgress], samples: int, interval: Interval) -> None:
        """Estimate those of the cells that have come to `samples` and are due there.

        Due is every cell at a look, and between looks a cell that may be narrow enough. One that is evaluated exactly
        keeps its estimate until all samples are seen; one that incremental layers have computed begins anew then.
        """
        assert self.known is not None
        total, due = len(self.evaluator), list[CellProgress]()
        for cell in cells:
            if cell.samples != samples or (cell.computation is Computation.EXACT and samples < total):
                continue
            if cell.computation is Computation.INCREMENTAL and samples == total:
                cell.begin_exactly()
            elif samples in looks(total) or cell.enough <= samples:
                due.append(cell)
        if not due:
            return
        estimates = self.known.estimates(torch.stack([cell.scores[:samples] for cell in due]), interval)
        for cell, estimate in zip(due, estimates, strict=True):
            cell.enough = interval.enough(estimate.half_width, samples, estimate.total)
            if cell.goal is Goal.DECISION:  # it has been as narrow as asked: it does not get wider again
                estimate = replace(estimate, half_width=min(estimate.half_width, self._half_width))
            cell.estimate = estimate

    # --- the map so far

    def _map(self) -> Sensitivity:
        assert self.known is not None
        undecided = set(self._undecided(self._max_drop).values()) if self._max_drop is not None else set[CellProgress]()
        unfinished = {cell for cell in self._cells() if cell.wide(self._half_width)} | undecided
        left = sum(max(cell.enough - cell.samples, 1) for cell in unfinished)
        return Sensitivity(
            rows=tuple(self._row(row, unfinished) for row in self._rows),
            levels=self.levels,
            dense=self.known.score,
            total=len(self.evaluator),
            half_width=self._half_width,
            spent=self.spent,
            planned=self.spent + left,
            seconds=self.seconds,
            left_out=self.left_out,
            max_drop=self._max_drop,
            metric=self._metric,
        )

    def _row(self, row: RowProgress, unfinished: Collection[CellProgress]) -> SensitivityRow:
        assert self.known is not None
        known, group, shown = self.known.evaluated == len(self.evaluator), row.cuts.group, list[SensitivityCell]()
        for level, at in zip(self.levels, row.cuts.of_level, strict=True):
            cell = row.cells[at]
            estimate = cell.estimate if cell.cut.pruned else replace(cell.estimate, score=self.known.score)
            done = known and cell not in unfinished
            shown.append(SensitivityCell(level, group.units, cell.cut.pruned, estimate, done))
        return SensitivityRow(group.name, group.members, group.units, tuple(shown), row.cuts.full_passes)


def analysis_of(
    workload: Workload, recipe: Recipe, levels: tuple[float, ...], device: torch.device
) -> SensitivityAnalysis:
    """The map of the recipe's criterion and granularity, without its repair, not begun."""
    model, groups, scores, left_out = _scored(workload, recipe, device)
    validation = Evaluator(workload.validation, workload.task, device)
    return SensitivityAnalysis(model, groups, scores, levels, None, validation, left_out)


def repaired_analysis_of(
    workload: Workload, recipe: Recipe, levels: tuple[float, ...], device: torch.device
) -> RepairedSensitivity:
    """The map of the recipe's criterion, granularity and repair, not begun."""
    model, groups, scores, left_out = _scored(workload, recipe, device)
    validation = Evaluator(workload.validation, workload.task, device)
    mender = Mender(recipe.repair, model, workload, device, recipe.seed)
    cost, kind = cost_model(model, workload.example.to(device)), kind_of(recipe.repair)
    return RepairedSensitivity(model, groups, scores, levels, None, validation, mender, kind, cost, left_out)


def _scored(
    workload: Workload, recipe: Recipe, device: torch.device
) -> tuple[nn.Module, list[UnitGroup], dict[str, Tensor], dict[str, str]]:
    """The dense network, the groups that have rows, their units' scores, and the layers that have none, with why."""
    model = open_model(workload, device)
    groups, left_out = scorable_groups(recipe.criterion, recipe.granularity, model, workload.example.to(device))
    scores = unit_scores(recipe.criterion, model, groups, Calibration(workload, device, recipe.seed))
    return model, groups, scores, left_out


def map_sensitivity(
    workload: Workload,
    recipe: Recipe,
    levels: tuple[float, ...] = LEVELS,
    half_width: float | None = None,
    device: torch.device | None = None,
    max_drop: float | None = None,
) -> Generator[Sensitivity, None, Sensitivity]:
    """Make the whole map of the recipe's criterion, granularity and repair; yields it about every 0.2 s as it sharpens.

    Each interval becomes as narrow as `half_width`, a small change of the score where that is None. With `max_drop` the
    cells which decide what is each row's largest cut within it are evaluated until they have decided.
    """
    device = device or default_device()
    half_width = small_change(workload, device) if half_width is None else half_width
    begun = analysis_of if isinstance(recipe.repair, NoRepair) else repaired_analysis_of
    analysis = begun(workload, recipe, levels, device)
    while not (sensed := analysis.advance(0.2, half_width, max_drop)).done:
        yield sensed
    return sensed
