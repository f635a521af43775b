"""The sensitivity map: every row cut alone to every level, evaluated on as few samples as it takes to know.

Work that cells share is done once: one pass of the dense network keeps what each layer sees, only what follows a layer
is computed for its cuts (`tails`), levels that let as many units be pruned are one cut, and a cut that lets none be
pruned is the dense network. Samples come in batches, each evaluated for all cells that need it; a cell that is known
well enough drops out. Cells of a row that has surely collapsed to chance come last.
"""

import copy
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn

from pruning.criteria import unit_scores
from pruning.criteria.calibration import Calibration
from pruning.evaluation.accuracy import BATCH_ON_ACCELERATOR, Evaluator
from pruning.evaluation.estimate import Estimate
from pruning.evaluation.regression_estimator import DenseReference
from pruning.evaluation.sequential_bounds import FIRST_LOOK, AtAllLooks, Interval, UntilNarrow, looks
from pruning.layer_sensitivity.activation_cache import CACHE_BYTES, ActivationCache, CachedBatch
from pruning.layer_sensitivity.cell_progress import CellProgress, RowProgress
from pruning.layer_sensitivity.layer_cuts import KEPT_BYTES, CutModel, LayerCut, bytes_of_largest
from pruning.layer_sensitivity.result import LEVELS, Sensitivity, SensitivityCell, SensitivityRow
from pruning.layer_sensitivity.suffix_graph import GraphWalk
from pruning.model.devices import default_device, full_precision
from pruning.model.preparation import open_model
from pruning.model.units import UnitGroup
from pruning.pipeline.eligibility import scorable_groups
from pruning.recipe.recipe import Recipe
from pruning.workload import Workload

CACHED_BYTES = 5 * 2**20  # of a batch's largest activations: those of two cores' caches
FIRST_KNOWN = 2000  # samples of the dense network that the first look goes by


@dataclass(eq=False)
class SensitivityAnalysis:
    """A map in the making. `model` is the dense network, `scores` are those of the groups' units.

    It may be asked for a narrower map at any time, and goes on from the samples that it has evaluated. What is `known`
    of the dense network need not be told: then its pass is the first work.
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
    _going_on: Iterator[None] | None = field(init=False, default=None)
    _half_width: float = field(init=False, default=0.0)
    _max_drop: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.levels = tuple(sorted(set(self.levels)))
        if any(module.training for module in self.model.modules()):
            self.model = copy.deepcopy(self.model).eval()
        self._cutting = CutModel(self.model)
        self._seeing = ActivationCache(self.model, self.known, self.evaluator)

    @property
    def most_bytes(self) -> int:
        """Of memory: what layers see, cut tensors, masks of all cuts, all samples' scores, the copy of the network.

        A ladder holds a weight once as it is and once in pieces, each value with its place.
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
        if self._going_on is None or (half_width, max_drop) != (self._half_width, self._max_drop):
            for one in (one for row in self._rows for one in row.standings):
                one.beyond &= half_width == self._half_width
            self._going_on, self._half_width, self._max_drop = self._work(half_width, max_drop), half_width, max_drop
        going_on, self._going_on = self._going_on, None  # it is of no more use once it has ended or raised
        with full_precision():
            for _ in going_on:
                if time.monotonic() - begun >= seconds:
                    self._going_on = going_on
                    break
        self.seconds += time.monotonic() - begun
        return self._map(half_width, max_drop)

    def all_scores(self) -> Iterator[Tensor]:
        """Per-sample scores [n], in the split's order, of every cut of which all samples have been evaluated."""
        for one in (one for row in self._rows for one in row.standings):
            if one.samples == len(self.evaluator):
                yield self._seeing.in_order_of_the_split(one.scores)

    def _work(self, half_width: float, max_drop: float | None) -> Iterator[None]:
        """All the work that is left, in small steps."""
        if not self._rows:
            self._begin()
        interval = UntilNarrow(half_width) if half_width else AtAllLooks(len(self.evaluator))
        self._look_anew(interval)
        for last in (False, True, True):  # rows that have collapsed wait; what was rounded may be evaluated once more
            for at, upto in self._seeing.batches:
                yield from self._know(FIRST_KNOWN if upto <= FIRST_LOOK else len(self.evaluator))
                wanted = {row: some for row in self._rows if (some := self._wanted(row, at, last))}
                if wanted:
                    yield from self._evaluate(wanted, at, upto)
                    self._look([one for some in wanted.values() for one in some], upto, interval)
        yield from self._know(len(self.evaluator))
        while max_drop is not None and (open_ := self._deciding(max_drop)):
            for one in open_.values():
                one.beyond, one.enough = True, len(self.evaluator)
            at = min(one.samples for one in open_.values())
            upto = next(upto for begin, upto in self._seeing.batches if begin == at)
            now = {row: [one] for row, one in open_.items() if one.samples == at}
            yield from self._evaluate(now, at, upto)
            self._look([one for (one,) in now.values()], upto, AtAllLooks(len(self.evaluator)))

    def _deciding(self, max_drop: float) -> dict[RowProgress, CellProgress]:
        found = {row: row.deciding(max_drop) for row in self._rows}
        return {row: one for row, one in found.items() if one is not None}

    def _begin(self) -> None:
        """Make all rows and cuts, and know enough for a first look: a map has all its rows from the first moment."""
        example, _ = self._seeing.inputs(0, min(16, len(self.evaluator)))
        walk = GraphWalk(self.model, self._cutting.work, example)
        rows = [self._cutting.row(group, self.scores, self.levels, walk) for group in self.groups]
        most = BATCH_ON_ACCELERATOR
        if self.evaluator.device.type == "cpu":  # there it matters much whether a network's activations fit the cache
            most = min(max(CACHED_BYTES // bytes_of_largest(self._cutting.work, example), 16), most)
        self._seeing.watch(walk, [row.tail for row in rows if row.tail is not None], most)
        for _ in self._know(FIRST_KNOWN if rows else len(self.evaluator)):
            pass
        self._rows = [RowProgress(row, [self._at_first(cut) for cut in row.cuts]) for row in rows]

    def _know(self, samples: int) -> Iterator[None]:
        yield from self._seeing.know(samples)
        self.known = self._seeing.known

    def _at_first(self, cut: LayerCut) -> CellProgress:
        """Nothing, but where no unit is pruned: that is the dense network."""
        total = len(self.evaluator)
        estimate = Estimate(0.0, 1.0, 0.0, 0, total) if cut.pruned else Estimate(0.0, 0.0, 0.0, total, total)
        return CellProgress(cut, torch.zeros(total), estimate, enough=total)

    def _wanted(self, row: RowProgress, at: int, last: bool) -> list[CellProgress]:
        """The row's cuts that have come as far as `at` and shall be evaluated further."""
        assert self.known is not None
        here = [one for one in row.standings if one.samples == at and one.wide(self._half_width)]
        return [one for one in here if row.collapsed(one, self.known.chance) <= last]

    def _evaluate(self, wanted: Mapping[RowProgress, Sequence[CellProgress]], at: int, upto: int) -> Iterator[None]:
        """Evaluate the cuts on a batch, each by what follows its layer."""
        batch = self._seeing.batch(at, upto)
        of_tail = {row.cuts.tail: row for row in wanted if row.cuts.tail is not None}
        for row in wanted:
            if row.cuts.tail is None:
                yield from self._cuts(row, wanted[row], partial(self._cutting.work, batch.inputs), batch)
        for tail, values in self._seeing.stops(batch, list(of_tail)):
            row = of_tail[tail]
            yield from self._cuts(row, wanted[row], partial(tail, values), batch)

    def _cuts(
        self, row: RowProgress, some: Sequence[CellProgress], run: Callable[[], Tensor], batch: CachedBatch
    ) -> Iterator[None]:
        """Evaluate a row's cuts on a batch, the deepest first; `run` runs the network on it, or what follows the
        layer.
        """
        for one in reversed(some):
            exactly = one.exactly or not self._half_width
            one.rounded |= bool(row.cuts.incremental) and not exactly
            with self._cutting.cut(row.cuts, one.cut, exactly):
                output = run()
            one.scores[batch.at : batch.upto] = self.evaluator.task.judge(output, batch.target)
            one.samples = batch.upto
            self.spent += len(batch.target)
            yield
        for ladder in row.cuts.incremental.values():
            ladder.forget()

    def _look(self, some: Sequence[CellProgress], upto: int, interval: Interval) -> None:
        """Estimate those of the cuts that are due: all at a look, else those that may be known well enough."""
        assert self.known is not None
        total = len(self.evaluator)
        here = [one for one in some if one.samples == upto and (not one.exactly or upto == total)]
        for one in (one for one in here if one.rounded and upto == total):
            one.begin_exactly()
        due = [one for one in here if one.samples == upto and (upto in looks(total) or one.enough <= upto)]
        if not due:
            return
        estimates = self.known.estimates(torch.stack([one.scores[:upto] for one in due]), interval)
        for one, estimate in zip(due, estimates, strict=True):
            narrow = min(estimate.half_width, self._half_width) if one.beyond else estimate.half_width
            one.estimate = replace(estimate, half_width=narrow)
            one.enough = interval.enough(estimate.half_width, upto, estimate.total)

    def _look_anew(self, interval: Interval) -> None:
        """At all that has been looked at, by another interval. What a sparse kernel rounded is not for an exact map."""
        for row in self._rows:
            for one in (one for one in row.standings if one.samples):
                if one.rounded and not self._half_width:
                    one.begin_exactly()
                elif (
                    one.samples >= looks(len(self.evaluator))[0]
                ):  # also what was evaluated, but not looked at before a break
                    one.enough = 0
                    self._look([one], one.samples, AtAllLooks(len(self.evaluator)) if one.beyond else interval)

    def _map(self, half_width: float, max_drop: float | None) -> Sensitivity:
        assert self.known is not None
        dense, left, known = self.known.score, 0, self.known.evaluated == len(self.evaluator)
        open_ = set(self._deciding(max_drop).values()) if max_drop is not None else set[CellProgress]()
        rows: list[SensitivityRow] = []
        for row in self._rows:
            unfinished = {one for one in row.standings if one.wide(half_width)} | (open_ & set(row.standings))
            left += sum(max(one.enough - one.samples, 1) for one in unfinished)
            group, cells = row.cuts.group, list[SensitivityCell]()
            for level, one in zip(self.levels, (row.standings[i] for i in row.cuts.of_level), strict=True):
                estimate = one.estimate if one.cut.pruned else replace(one.estimate, score=dense)
                cells.append(
                    SensitivityCell(level, group.units, one.cut.pruned, estimate, known and one not in unfinished)
                )
            rows.append(SensitivityRow(group.name, group.members, group.units, tuple(cells), row.cuts.full_passes))
        total, planned = len(self.evaluator), self.spent + left
        return Sensitivity(
            tuple(rows), self.levels, dense, total, half_width, self.spent, planned, self.seconds, self.left_out,
            max_drop,
        )  # fmt: skip


def analysis_of(
    workload: Workload, recipe: Recipe, levels: tuple[float, ...], device: torch.device
) -> SensitivityAnalysis:
    """The map of the recipe's criterion and granularity, not begun."""
    model = open_model(workload, device)
    groups, left_out = scorable_groups(recipe.criterion, recipe.granularity, model, workload.example.to(device))
    scores = unit_scores(recipe.criterion, model, groups, Calibration(workload, device, recipe.seed))
    validation = Evaluator(workload.validation, workload.task, device)
    return SensitivityAnalysis(model, groups, scores, levels, None, validation, left_out)


def map_sensitivity(
    workload: Workload,
    recipe: Recipe,
    levels: tuple[float, ...] = LEVELS,
    half_width: float = 0.01,
    device: torch.device | None = None,
    max_drop: float | None = None,
) -> Generator[Sensitivity, None, Sensitivity]:
    """Make the whole map of the recipe's criterion and granularity; yields it about every 0.2 s as it sharpens.

    With `max_drop` the cells which decide what is each row's largest cut within it are evaluated until they have
    decided.
    """
    sensing = analysis_of(workload, recipe, levels, device or default_device())
    while not (sensed := sensing.advance(0.2, half_width, max_drop)).done:
        yield sensed
    return sensed
