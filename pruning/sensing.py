"""The sensitivity map: every row cut alone to every level, judged on as few samples as it takes to know.

Work that cells share is done once: what a layer sees is computed once for all its levels (`tails`), levels that let as
many units fall are one cut, and a cut that lets none fall is the dense network. Samples come in sweeps over all cells,
each to the next look; a cell that is known well enough drops out. Cells of a row that has surely collapsed to chance
come last.
"""

import copy
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pruning.amounts import Sparsity
from pruning.boundary import looks
from pruning.calibration import Calibration
from pruning.criteria import unit_scores
from pruning.devices import default_device, full_precision
from pruning.eligible import scorable
from pruning.judging import CHUNK_S
from pruning.known import Known, known_of
from pruning.measure import Estimate
from pruning.opening import open_model
from pruning.recipe import Recipe
from pruning.scopes import Layer
from pruning.select import rank, select
from pruning.sensitivity import LEVELS, Cell, Row, Sensitivity
from pruning.sparse_linear import SparseLinear, computed_by, sparse_linears
from pruning.tails import Tail, Walk
from pruning.units import Masks, UnitGroup, masks_of
from pruning.workload import Split, Task, Workload

PIECES = (8, 32, 64, 128, 256, 512, 1024, 2048)  # samples judged at once
KEPT_BYTES = 128 * 2**20  # of cut tensors, so that they need not be made anew for every piece


@dataclass(eq=False)
class _Cut:
    """One layer cut so far that `fallen` units fell.

    `gone` (parameter -> bool) is what becomes zero, `kept` (parameter -> its values then) is empty where they are many,
    `sparse` are the layers of which so little is left that a sparse kernel is faster.
    """

    fallen: int
    gone: Masks
    kept: dict[str, Tensor]
    sparse: dict[str, SparseLinear]
    estimate: Estimate
    seen: list[Tensor] = field(default_factory=list[Tensor])
    samples: int = 0

    def wide(self, half_width: float) -> bool:
        """Whether more samples are needed for an interval of that half-width."""
        return not self.estimate.measured and not 0 < self.estimate.half_width <= half_width


@dataclass(eq=False)
class _Row:
    """A unit group with its cuts, the smallest first, and for each level which of them it is."""

    group: UnitGroup
    cuts: list[_Cut]
    of_level: list[int]
    tail: Tail | None
    full_passes: str

    def collapsed(self, cut: _Cut, chance: float) -> bool:
        """Whether a smaller cut has surely left no more than chance, so that little is to be learnt from this one."""
        place = self.cuts.index(cut)
        return any(_at_chance(smaller.estimate, chance) for smaller in self.cuts[:place])


def _at_chance(estimate: Estimate, chance: float) -> bool:
    return estimate.samples > 0 and estimate.score + estimate.half_width <= chance + 0.01


@dataclass(eq=False)
class Sensing:
    """A map in the making. `model` is the dense network, `scores` are those of the groups' units.

    It may be asked for a narrower map at any time, and goes on from the samples that it has judged.
    """

    model: nn.Module
    groups: Sequence[UnitGroup]
    scores: Mapping[str, Tensor]
    levels: tuple[float, ...]
    known: Known
    split: Split
    task: Task
    device: torch.device
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    seconds: float = 0.0
    spent: int = 0
    _work: nn.Module = field(init=False)
    _walk: Walk | None = None
    _rows: list[_Row] = field(default_factory=list[_Row])
    _piece: int = PIECES[0]
    _bytes_left: int = KEPT_BYTES
    _going_on: Iterator[None] | None = None
    _half_width: float = 0.0

    def __post_init__(self) -> None:
        self.levels = tuple(sorted(set(self.levels)))
        self._work = copy.deepcopy(self.model).eval()

    @property
    def most_bytes(self) -> int:
        """Of memory: cut tensors, masks of all cuts, scores of all samples, and the copy of the network."""
        weights = sum(parameter.numel() for parameter in self.model.parameters())
        judged = 4 * len(self.split) * len(self.groups) * len(self.levels)
        return KEPT_BYTES + weights * (len(self.levels) + 8) + judged

    @torch.no_grad()
    def advance(self, seconds: float, half_width: float) -> Sensitivity:
        """Judge more samples for about so many seconds, or until every half-width is at most this; 0: all samples."""
        begun = time.monotonic()
        if half_width == 0 != self._half_width:
            self._forget_what_was_rounded()
        if half_width != self._half_width or self._going_on is None:
            self._going_on, self._half_width = self._sweeps(half_width), half_width
        with full_precision():
            for _ in self._going_on:
                if time.monotonic() - begun >= seconds:
                    break
        self.seconds += time.monotonic() - begun
        return self._map(half_width)

    def _forget_what_was_rounded(self) -> None:
        """The exact map is that of the very operations of a full evaluation: sparse kernels round differently."""
        for cut in (cut for row in self._rows for cut in row.cuts if cut.sparse):
            cut.seen, cut.samples, cut.estimate = [], 0, self._at_first(cut.fallen)

    def judged(self) -> Iterator[Tensor]:
        """Per-sample scores [n], in the split's order, of every cut of which all samples have been judged."""
        for cut in (cut for row in self._rows for cut in row.cuts):
            if cut.samples == len(self.split):
                scores = torch.cat(cut.seen)
                yield torch.empty_like(scores).index_put_((self.known.order,), scores)

    def _sweeps(self, half_width: float) -> Iterator[None]:
        """All the work that is left, in small steps."""
        if self._walk is None:
            self._piece = self._best_piece()
            self._walk = Walk(self.model, self._work, self._inputs(0, min(16, len(self.split)))[0])
        walk = self._walk
        for group in self.groups[len(self._rows) :]:  # all at once: a map has all its rows from the first moment
            self._rows.append(self._row(group, walk))
        chance = self.known.chance
        for last in (False, True):  # rows that have collapsed wait until all else is known
            for look in looks(len(self.split)):
                wanted = {
                    row.group.name: cuts
                    for row in self._rows
                    if (cuts := [c for c in row.cuts if c.wide(half_width) and row.collapsed(c, chance) <= last])
                }
                yield from self._sweep(walk, look, wanted)

    def _row(self, group: UnitGroup, walk: Walk) -> _Row:
        ranking = rank([group], self.scores, Layer(), Sparsity(0.0))
        cuts: dict[int, _Cut] = {}
        of_level: list[int] = []
        for level in self.levels:
            keep = select(ranking, Sparsity(level))
            fallen = int((~keep[group.name]).sum())
            if fallen not in cuts:
                gone = {name: ~stays.to(self.device) for name, stays in masks_of([group], keep, self.model).items()}
                kept = self._kept(gone)
                cuts[fallen] = _Cut(fallen, gone, kept, sparse_linears(self._work, kept), self._at_first(fallen))
            of_level.append(list(cuts).index(fallen))
        real = [cut for cut in cuts.values() if cut.fallen]
        if not real:  # nothing is cut at any level, and nothing need be judged
            return _Row(group, list(cuts.values()), of_level, None, "")
        middle = real[len(real) // 2]  # of which something is left: that tells more than a network of zeros
        tail = walk.tail(list(middle.gone), middle.gone)
        found, why = (tail, "") if isinstance(tail, Tail) else (None, f"each cut is a full pass: {tail}")
        return _Row(group, list(cuts.values()), of_level, found, why)

    def _kept(self, gone: Masks) -> dict[str, Tensor]:
        """The cut tensors, as long as there is room for them."""
        params = {name: self.model.get_parameter(name).detach() for name in gone}
        self._bytes_left -= sum(param.numel() * param.element_size() for param in params.values())
        if self._bytes_left < 0:
            return {}
        return {name: param.masked_fill(gone[name], 0.0) for name, param in params.items()}

    def _at_first(self, fallen: int) -> Estimate:
        """Nothing, but where no unit falls: that is the dense network, which has been judged."""
        if not fallen:
            return self.known.estimate(self.known.scores[self.known.order])
        return Estimate(0.0, 1.0, 0.0, 0, len(self.split))

    def _sweep(self, walk: Walk, look: int, wanted: Mapping[str, list[_Cut]]) -> Iterator[None]:
        """Judge the wanted cuts on their next samples, up to the look; then look."""
        rows = [row for row in self._rows if row.group.name in wanted]
        at = min((cut.samples for cuts in wanted.values() for cut in cuts), default=look)
        while at < look:
            # not past a cut that was left with more samples than the others
            ahead = [cut.samples for cuts in wanted.values() for cut in cuts if cut.samples > at]
            upto = min(at + self._piece, look, *ahead)
            now = {row.group.name: [cut for cut in wanted[row.group.name] if cut.samples == at] for row in rows}
            yield from self._judge(walk, rows, now, at, upto)
            at = upto
        for cuts in wanted.values():
            for cut in cuts:
                if cut.samples == look:
                    cut.estimate = self.known.estimate(torch.cat(cut.seen))

    def _judge(
        self, walk: Walk, rows: Sequence[_Row], wanted: Mapping[str, list[_Cut]], at: int, upto: int
    ) -> Iterator[None]:
        """Judge the cuts on the samples from `at` to `upto` of the order: the dense network once, and every tail."""
        inputs, target = self._inputs(at, upto)
        whole = [row for row in rows if row.tail is None and wanted[row.group.name]]
        for row in whole:
            yield from self._cuts(row, wanted[row.group.name], None, inputs, target)
        of_tail = {row.tail: row for row in rows if row.tail is not None and wanted[row.group.name]}
        for tail, values in walk.stops(inputs, list(of_tail)):
            row = of_tail[tail]
            yield from self._cuts(row, wanted[row.group.name], values, inputs, target)

    def _cuts(
        self, row: _Row, cuts: Sequence[_Cut], values: tuple[object, ...] | None, inputs: Tensor, target: Tensor
    ) -> Iterator[None]:
        """Judge the row's cuts on a batch."""
        for cut in cuts:
            with self._cut(cut):
                output = self._work(inputs) if row.tail is None or values is None else row.tail(values)
            cut.seen.append(self.task.judge(output, target).float().cpu())
            cut.samples += len(inputs)
            self.spent += len(inputs)
            yield

    @contextmanager
    def _cut(self, cut: _Cut) -> Generator[None]:
        """The working copy is cut while the block runs. Kept values are put in its parameters' place, not copied."""
        params = {name: self._work.get_parameter(name) for name in cut.gone}
        whole = {name: param.data for name, param in params.items()}
        for name, param in params.items():
            param.data = cut.kept[name] if cut.kept else whole[name].masked_fill(cut.gone[name], 0.0)
        with computed_by(self._work, cut.sparse if self._half_width else {}):
            try:
                yield
            finally:
                for name, param in params.items():
                    param.data = whole[name]

    def _best_piece(self) -> int:
        """How many samples to judge at once: as many as are clearly faster, in no more than about a chunk's time.

        On a CPU that depends on whether a network's activations fit its cache.
        """
        pace: dict[int, float] = {}
        self._work(self._inputs(0, min(PIECES[0], len(self.split)))[0])
        for size in PIECES:
            inputs, _ = self._inputs(0, min(size, len(self.split)))
            start = time.monotonic()
            self._work(inputs)
            took = time.monotonic() - start
            pace[size] = took / size
            if took > CHUNK_S / 2 or pace[size] > 1.2 * min(pace.values()):
                break
        return next(size for size in pace if pace[size] <= 1.1 * min(pace.values()))

    def _inputs(self, at: int, upto: int) -> tuple[Tensor, Tensor]:
        return self.split.batch(self.known.order[at:upto], self.device)

    def _map(self, half_width: float) -> Sensitivity:
        rows = tuple(
            Row(
                row.group.name,
                row.group.members,
                row.group.units,
                tuple(
                    Cell(level, row.group.units, cut.fallen, cut.estimate, not cut.wide(half_width))
                    for level, cut in zip(self.levels, (row.cuts[i] for i in row.of_level), strict=True)
                ),
                row.full_passes,
            )
            for row in self._rows
        )
        left = sum(self._needed(cut, half_width) for row in self._rows for cut in row.cuts)
        return Sensitivity(
            rows, self.levels, self.known.score, len(self.split), half_width, self.spent, self.spent + left,
            self.seconds, self.left_out,
        )  # fmt: skip

    def _needed(self, cut: _Cut, half_width: float) -> int:
        """About how many more samples the cut needs: an interval narrows with the square root of its samples."""
        if not cut.wide(half_width):
            return 0
        total = len(self.split)
        if half_width == 0 or not cut.estimate.samples:
            return total - cut.samples
        seen = cut.estimate.samples / (1 - cut.estimate.samples / total)
        needed = seen * (cut.estimate.half_width / half_width) ** 2
        return max(int(needed / (1 + needed / total)) - cut.samples, 1)


def sensing_of(workload: Workload, recipe: Recipe, levels: tuple[float, ...], device: torch.device) -> Sensing:
    """The map of the recipe's criterion and granularity, not begun."""
    model = open_model(workload, device)
    groups, left_out = scorable(recipe.criterion, recipe.granularity, model, workload.example.to(device))
    scores = unit_scores(recipe.criterion, model, groups, Calibration(workload, device, recipe.seed))
    known = known_of(model, workload.validation, workload.task, device)
    return Sensing(model, groups, scores, levels, known, workload.validation, workload.task, device, left_out)


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
