"""The sensitivity map: every row cut alone to every level, judged on as few samples as it takes to know.

Work that cells share is done once: one pass of the dense network keeps what each layer sees, only what follows a layer
is computed for its cuts (`tails`), levels that let as many units fall are one cut, and a cut that lets none fall is the
dense network. Samples come in batches, each judged for all cells that need it; a cell that is known well enough drops
out. Cells of a row that has surely collapsed to chance come last.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from pruning.boundary import FIRST_LOOK, AtAllLooks, Interval, UntilNarrow, looks
from pruning.calibration import Calibration
from pruning.criteria import unit_scores
from pruning.cuts import KEPT_BYTES, Bench, Cut, Cuts, bytes_of_largest
from pruning.devices import default_device, full_precision
from pruning.eligible import scorable
from pruning.known import Dense, Known, judging_order
from pruning.measure import BATCH_ON_ACCELERATOR, Estimate
from pruning.opening import open_model
from pruning.recipe import Recipe
from pruning.sensitivity import LEVELS, Cell, Row, Sensitivity
from pruning.tails import Tail, Walk, copied, tensors_in
from pruning.units import UnitGroup
from pruning.workload import Split, Task, Workload

CACHED_BYTES = 5 * 2**20  # of a batch's largest activations: those of two cores' caches
SEEN_BYTES = 256 * 2**20  # of what layers see, kept for all their cuts
FIRST_KNOWN = 2000  # samples of the dense network that the first look goes by


@dataclass(frozen=True, eq=False)
class _Batch:
    """Samples from `at` to `upto` of the order; `seen` is what each tail takes, empty where that is not kept."""

    at: int
    upto: int
    inputs: Tensor
    target: Tensor
    seen: dict[Tail, tuple[Any, ...]]


@dataclass(eq=False)
class _Judged:
    """How far a cut has come: scores float32 [total] of the first `samples` of the order, and the latest look.

    `enough` is after about how many samples it will be as narrow as asked.
    """

    cut: Cut
    scores: Tensor
    estimate: Estimate
    samples: int = 0
    enough: int = 0

    def wide(self, half_width: float) -> bool:
        """Whether more samples are needed for an interval of that half-width."""
        return not self.estimate.measured and not 0 < self.estimate.half_width <= half_width


@dataclass(eq=False)
class _Row:
    cuts: Cuts
    judged: list[_Judged]

    def collapsed(self, one: _Judged, chance: float) -> bool:
        """Whether a smaller cut has surely left no more than chance, so that little is to be learnt from this one."""
        return any(_at_chance(smaller.estimate, chance) for smaller in self.judged[: self.judged.index(one)])


def _at_chance(estimate: Estimate, chance: float) -> bool:
    return estimate.samples > 0 and estimate.score + estimate.half_width <= chance + 0.01


@dataclass(eq=False)
class Sensing:
    """A map in the making. `model` is the dense network, `scores` are those of the groups' units.

    It may be asked for a narrower map at any time, and goes on from the samples that it has judged. What is `known` of
    the dense network need not be told: then its pass is the first work.
    """

    model: nn.Module
    groups: Sequence[UnitGroup]
    scores: Mapping[str, Tensor]
    levels: tuple[float, ...]
    known: Known | None
    split: Split
    task: Task
    device: torch.device
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    seconds: float = 0.0
    spent: int = 0
    _rows: list[_Row] = field(init=False, default_factory=list[_Row])
    _kept: dict[int, _Batch] = field(init=False, default_factory=dict[int, _Batch])
    _going_on: Iterator[None] | None = field(init=False, default=None)
    _half_width: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.levels = tuple(sorted(set(self.levels)))
        self._order = judging_order(len(self.split)) if self.known is None else self.known.order
        self._bench = Bench(self.model)
        self._dense = Dense(self.task, len(self.split))
        self._room = SEEN_BYTES

    @property
    def most_bytes(self) -> int:
        """Of memory: what layers see, cut tensors, masks of all cuts, all samples' scores, the copy of the network."""
        weights = sum(parameter.numel() for parameter in self.model.parameters())
        judged = 4 * len(self.split) * len(self.groups) * len(self.levels)
        return SEEN_BYTES + KEPT_BYTES + weights * (len(self.levels) + 8) + judged

    @torch.no_grad()
    def advance(self, seconds: float, half_width: float) -> Sensitivity:
        """Judge more samples for about so many seconds, or until every half-width is at most this; 0: all samples."""
        begun = time.monotonic()
        if half_width != self._half_width or self._going_on is None:
            self._going_on, self._half_width = self._work(half_width), half_width
        with full_precision():
            for _ in self._going_on:
                if time.monotonic() - begun >= seconds:
                    break
        self.seconds += time.monotonic() - begun
        return self._map(half_width)

    def judged(self) -> Iterator[Tensor]:
        """Per-sample scores [n], in the split's order, of every cut of which all samples have been judged."""
        for one in (one for row in self._rows for one in row.judged):
            if one.samples == len(self.split):
                yield torch.empty_like(one.scores).index_put_((self._order,), one.scores)

    def _work(self, half_width: float) -> Iterator[None]:
        """All the work that is left, in small steps."""
        if not self._rows:
            self._begin()
        interval = UntilNarrow(half_width) if half_width else AtAllLooks(len(self.split))
        self._look_anew(interval)
        for last in (False, True):  # rows that have collapsed wait until all else is known
            for at, upto in self._batches:
                yield from self._know(FIRST_KNOWN if upto <= FIRST_LOOK else len(self.split))
                wanted = {row: some for row in self._rows if (some := self._wanted(row, at, last))}
                if wanted:
                    yield from self._judge(wanted, at, upto)
                    self._look([one for some in wanted.values() for one in some], upto, interval)

    def _begin(self) -> None:
        """Make all rows and cuts, and know enough for a first look: a map has all its rows from the first moment."""
        example, _ = self._inputs(0, min(16, len(self.split)))
        self._walk = Walk(self.model, self._bench.work, example)
        rows = [self._bench.row(group, self.scores, self.levels, self._walk) for group in self.groups]
        self._tails = [row.tail for row in rows if row.tail is not None]
        most = BATCH_ON_ACCELERATOR
        if self.device.type == "cpu":  # there it matters much whether a network's activations fit the cache
            most = min(max(CACHED_BYTES // bytes_of_largest(self._bench.work, example), 16), most)
        self._batches = _batches(len(self.split), most)
        for _ in self._know(FIRST_KNOWN):
            pass
        self._rows = [_Row(row, [self._at_first(cut) for cut in row.cuts]) for row in rows]

    def _at_first(self, cut: Cut) -> _Judged:
        """Nothing, but where no unit falls: that is the dense network."""
        total = len(self.split)
        estimate = Estimate(0.0, 1.0, 0.0, 0, total) if cut.fallen else Estimate(0.0, 0.0, 0.0, total, total)
        return _Judged(cut, torch.zeros(total), estimate, enough=total)

    def _know(self, samples: int) -> Iterator[None]:
        """Let the dense network judge at least so many samples, if it has not."""
        if self.known is not None and self.known.judged >= min(samples, len(self.split)):
            return
        for at, upto in self._batches:
            if self._dense.judged <= at < samples:
                self._judge_dense(at, upto)
                yield
        self.known = self._dense.known()

    def _judge_dense(self, at: int, upto: int) -> None:
        inputs, target = self._inputs(at, upto)
        if not self._tails:
            output = self.model(inputs)
        elif self._room > 0:
            seen = dict(self._stops(inputs, [*self._tails, self._walk.end]))
            (output,) = seen.pop(self._walk.end)
            self._keep(_Batch(at, upto, inputs, target, seen))
        else:
            ((_, (output,)),) = self._walk.stops(inputs, [self._walk.end])
        self._dense.add(self._order[at:upto], output, target)

    def _stops(self, inputs: Tensor, tails: Sequence[Tail]) -> Iterator[tuple[Tail, tuple[Any, ...]]]:
        """What the tails take, safe from what the network overwrites later."""
        for tail, values in self._walk.stops(inputs, tails):
            yield tail, copied(values) if tail.overwrites else values

    def _keep(self, batch: _Batch) -> _Batch:
        """What layers see in the batch is kept as long as there is room."""
        tensors = {id(each): each for values in batch.seen.values() for each in tensors_in(values)}
        self._room -= sum(each.numel() * each.element_size() for each in tensors.values())
        if self._room >= 0:
            self._kept[batch.at] = batch
        return batch

    def _batch(self, at: int, upto: int) -> _Batch:
        if at in self._kept:
            return self._kept[at]
        inputs, target = self._inputs(at, upto)
        if not self._tails or self._room <= 0:
            return _Batch(at, upto, inputs, target, {})
        return self._keep(_Batch(at, upto, inputs, target, dict(self._stops(inputs, self._tails))))

    def _wanted(self, row: _Row, at: int, last: bool) -> list[_Judged]:
        """The row's cuts that have come as far as `at` and shall be judged further."""
        assert self.known is not None
        here = [one for one in row.judged if one.samples == at and one.wide(self._half_width)]
        return [one for one in here if row.collapsed(one, self.known.chance) <= last]

    def _judge(self, wanted: Mapping[_Row, Sequence[_Judged]], at: int, upto: int) -> Iterator[None]:
        """Judge the cuts on a batch, each by what follows its layer."""
        batch = self._batch(at, upto)
        of_tail = {row.cuts.tail: row for row in wanted if row.cuts.tail is not None}
        for row in wanted:
            if row.cuts.tail is None:
                yield from self._cuts(row, wanted[row], partial(self._bench.work, batch.inputs), batch)
        if batch.seen:
            stops = iter([(tail, batch.seen[tail]) for tail in of_tail])
        else:
            stops = self._walk.stops(batch.inputs, list(of_tail))
        for tail, values in stops:
            row = of_tail[tail]
            yield from self._cuts(row, wanted[row], partial(tail, values), batch)

    def _cuts(self, row: _Row, some: Sequence[_Judged], run: Callable[[], Tensor], batch: _Batch) -> Iterator[None]:
        """Judge a row's cuts on a batch, the deepest first; `run` runs the network on it, or what follows the layer."""
        for one in reversed(some):
            with self._bench.cut(row.cuts, one.cut, exactly=not self._half_width):
                output = run()
            one.scores[batch.at : batch.upto] = self.task.judge(output, batch.target)
            one.samples = batch.upto
            self.spent += len(batch.target)
            yield

    def _look(self, some: Sequence[_Judged], upto: int, interval: Interval) -> None:
        """Estimate those of the cuts that are due: all at a look, else those that may be known well enough."""
        assert self.known is not None
        due = [one for one in some if one.samples == upto and (upto in looks(len(self.split)) or one.enough <= upto)]
        if not due:
            return
        estimates = self.known.estimates(torch.stack([one.scores[:upto] for one in due]), interval)
        for one, estimate in zip(due, estimates, strict=True):
            one.estimate = estimate
            one.enough = interval.enough(estimate.half_width, upto, estimate.total)

    def _look_anew(self, interval: Interval) -> None:
        """At all that has been looked at, by another interval. What a sparse kernel rounded is not for an exact map."""
        for row in self._rows:
            for one in (one for one in row.judged if one.samples):
                if row.cuts.ladders and not self._half_width:
                    one.samples, one.estimate = 0, self._at_first(one.cut).estimate
                elif one.samples >= looks(len(self.split))[0]:  # also what was judged, but not looked at before a break
                    one.enough = 0
                    self._look([one], one.samples, interval)

    def _inputs(self, at: int, upto: int) -> tuple[Tensor, Tensor]:
        return self.split.batch(self._order[at:upto], self.device)

    def _map(self, half_width: float) -> Sensitivity:
        assert self.known is not None
        dense = self.known.score
        rows: list[Row] = []
        for row in self._rows:
            group, cells = row.cuts.group, list[Cell]()
            for level, one in zip(self.levels, (row.judged[i] for i in row.cuts.of_level), strict=True):
                estimate = one.estimate if one.cut.fallen else replace(one.estimate, score=dense)
                cells.append(Cell(level, group.units, one.cut.fallen, estimate, not one.wide(half_width)))
            rows.append(Row(group.name, group.members, group.units, tuple(cells), row.cuts.full_passes))
        left = sum(max(one.enough - one.samples, 1) for row in self._rows for one in row.judged if one.wide(half_width))
        return Sensitivity(
            tuple(rows), self.levels, dense, len(self.split), half_width, self.spent, self.spent + left, self.seconds,
            self.left_out,
        )  # fmt: skip


def _batches(total: int, most: int) -> list[tuple[int, int]]:
    """From where to where in the order samples are judged at once, at most `most`; some end at each look.

    Few and small ones at first, so that all cells are soon looked at; later some between looks, for a cell may be known
    well enough there.
    """
    ends = [look for n, look in enumerate(looks(total)) if n % 2 == 0 or look > 4 * FIRST_LOOK or look == total]
    batches: list[tuple[int, int]] = []
    for begin, end in pairwise([0, *ends]):
        parts = max(-(-(end - begin) // most), min((end - begin) // 200, 3), 1)
        cuts = [begin + (end - begin) * part // parts for part in range(parts + 1)]
        batches += pairwise(cuts)
    return batches


def sensing_of(workload: Workload, recipe: Recipe, levels: tuple[float, ...], device: torch.device) -> Sensing:
    """The map of the recipe's criterion and granularity, not begun."""
    model = open_model(workload, device)
    groups, left_out = scorable(recipe.criterion, recipe.granularity, model, workload.example.to(device))
    scores = unit_scores(recipe.criterion, model, groups, Calibration(workload, device, recipe.seed))
    return Sensing(model, groups, scores, levels, None, workload.validation, workload.task, device, left_out)


def sense(
    workload: Workload,
    recipe: Recipe,
    levels: tuple[float, ...] = LEVELS,
    half_width: float = 0.01,
    device: torch.device | None = None,
) -> Generator[Sensitivity, None, Sensitivity]:
    """Make the whole map of the recipe's criterion and granularity; yields it about every 0.2 s as it sharpens."""
    sensing = sensing_of(workload, recipe, levels, device or default_device())
    while not (sensed := sensing.advance(0.2, half_width)).done:
        yield sensed
    return sensed
