"""The sensitivity map after repair: every row cut alone to every level, repaired, and evaluated.

A repair changes the layers behind a cut, so cells share little: each is cut, repaired and evaluated on as few samples
as it takes, one after the other, the same level of all rows before the next. Only one repaired network is held.
"""

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pruning.evaluation.accuracy import Evaluator
from pruning.evaluation.estimate import Estimate
from pruning.evaluation.regression_estimator import DenseReference, dense_reference
from pruning.evaluation.sequential_bounds import AtAllLooks, Interval, UntilNarrow, looks
from pruning.layer_sensitivity.cell_progress import deciding
from pruning.layer_sensitivity.result import Sensitivity, SensitivityCell, SensitivityRow
from pruning.model.costs import CostModel
from pruning.model.memory import bytes_of
from pruning.model.units import UnitGroup
from pruning.pipeline.one_shot import RankedUnits
from pruning.repair.mended import Mender
from pruning.repair.ongoing_mend import OngoingMend
from pruning.selection.amounts import Sparsity
from pruning.selection.ranking import rank
from pruning.selection.scopes import WithinLayer

CHUNK = 100
"""Samples from one look at the clock to the next."""


@dataclass(eq=False)
class _Cell:
    """A cut of one row and what is known of it after repair."""

    level: float
    pruned: int
    estimate: Estimate


@dataclass(eq=False)
class _Row:
    group: UnitGroup
    ranked: RankedUnits
    cells: list[_Cell]


@dataclass(eq=False)
class RepairedSensitivity:
    """A map in the making, as `SensitivityAnalysis`, of cuts that are repaired before they are evaluated.

    `model` is the dense network, `scores` are those of the groups' units, `mender` repairs cuts of that network and
    `repair` is how the recipe calls it. `known` is None where the dense network has not been evaluated.
    """

    model: nn.Module
    groups: Sequence[UnitGroup]
    scores: Mapping[str, Tensor]
    levels: tuple[float, ...]
    known: DenseReference | None
    evaluator: Evaluator
    mender: Mender
    repair: str
    cost: CostModel
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    seconds: float = 0.0
    spent: int = 0
    _rows: list[_Row] = field(init=False, default_factory=list[_Row])
    _work_left: Iterator[None] | None = field(init=False, default=None)
    _asked: tuple[float, float | None] = field(init=False, default=(0.0, None))

    def __post_init__(self) -> None:
        self.levels = tuple(sorted(set(self.levels)))

    @property
    def most_bytes(self) -> int:
        """Of memory: a cut copy of the network, what its repair keeps of it, a dense one of its own, and all samples'
        scores of a cell.
        """
        return 4 * bytes_of(self.model) + 4 * len(self.evaluator)

    def advance(self, seconds: float, half_width: float, max_drop: float | None = None) -> Sensitivity:
        """Repair and evaluate for about so many seconds, or until the map is done; as `SensitivityAnalysis.advance`."""
        begun = time.monotonic()
        if self._work_left is None or (half_width, max_drop) != self._asked:
            self._asked = half_width, max_drop
            self._work_left = self._work()
        work, self._work_left = self._work_left, None  # a generator that has ended or raised is of no more use
        for _ in work:
            if time.monotonic() - begun >= seconds:
                self._work_left = work
                break
        self.seconds += time.monotonic() - begun
        return self._map()

    def _work(self) -> Generator[None]:
        half_width, max_drop = self._asked
        if self.known is None:
            self.known = dense_reference(self.model, self.evaluator)
            self.spent += len(self.evaluator)
        if not self._rows:
            self._rows = [self._row(group) for group in self.groups]
        yield
        for at in range(len(self.levels)):
            for row in self._rows:
                if at < len(row.cells) and self._wide(row.cells[at]):
                    yield from self._evaluated(row, row.cells[at], UntilNarrow(half_width) if half_width else None)
        while max_drop is not None and (open_ := self._undecided(max_drop)):
            for row, cell in open_:
                yield from self._evaluated(row, cell, None)

    def _row(self, group: UnitGroup) -> _Row:
        """The group's cuts, lowest first. Levels at which as many units are pruned are one cut."""
        assert self.known is not None
        ranking = rank([group], self.scores, WithinLayer(), Sparsity(0.0))
        ranked = RankedUnits(self.scores, ranking, self.cost, removable=False)
        total, cells = len(self.evaluator), list[_Cell]()
        for level in self.levels:
            pruned = ranked.decide(Sparsity(level)).counts.pruned
            if not cells or cells[-1].pruned != pruned:
                dense = Estimate(self.known.score, 0.0, 0.0, total, total)
                cells.append(_Cell(level, pruned, Estimate(0.0, 1.0, 0.0, 0, total) if pruned else dense))
        return _Row(group, ranked, cells)

    def _evaluated(self, row: _Row, cell: _Cell, interval: Interval | None) -> Generator[None]:
        """Cut, repair, and evaluate until the interval is as narrow as it asks for; without one, all samples."""
        assert self.known is not None
        masks = row.ranked.decide(Sparsity(cell.level)).masks
        model = yield from OngoingMend(self.mender, masks).to_its_end()
        yield
        order, total, seen = self.known.order, len(self.evaluator), list[Tensor]()
        done = 0
        for look in looks(total):
            while done < look:
                scores, _ = self.evaluator.evaluate_some(model, order[done : min(done + CHUNK, look)])
                seen.append(scores)
                done += len(scores)
                self.spent += len(scores)
                yield
            if interval is not None or look == total:
                holds = interval or AtAllLooks(total)
                cell.estimate = self.known.estimates(torch.cat(seen)[None], holds)[0]
                if interval is not None and not self._wide(cell):
                    break

    def _wide(self, cell: _Cell) -> bool:
        """Whether more samples are needed for an interval as narrow as asked."""
        seen, (half_width, _) = cell.estimate, self._asked
        return not seen.measured and not (seen.samples > 0 and 0 < seen.half_width <= half_width)

    def _undecided(self, max_drop: float) -> list[tuple[_Row, _Cell]]:
        assert self.known is not None
        found = [(row, deciding(row.cells, max_drop, self.known.metric)) for row in self._rows]
        return [(row, cell) for row, cell in found if cell is not None]

    def _map(self) -> Sensitivity:
        assert self.known is not None
        half_width, max_drop = self._asked
        open_ = {cell for row in self._rows for cell in row.cells if self._wide(cell)}
        if max_drop is not None:
            open_ |= {cell for _, cell in self._undecided(max_drop)}
        known = [cell for row in self._rows for cell in row.cells if cell not in open_ and cell.pruned]
        each = sum(cell.estimate.samples for cell in known) // len(known) if known else len(self.evaluator) // 4
        return Sensitivity(
            rows=tuple(self._shown(row, open_) for row in self._rows),
            levels=self.levels,
            dense=self.known.score,
            total=len(self.evaluator),
            half_width=half_width,
            spent=self.spent,
            planned=self.spent + each * len(open_),
            seconds=self.seconds,
            left_out=self.left_out,
            max_drop=max_drop,
            metric=self.known.metric,
            repair=self.repair,
        )

    def _shown(self, row: _Row, open_: set[_Cell]) -> SensitivityRow:
        cells: list[SensitivityCell] = []
        for level in self.levels:
            cell = max((cell for cell in row.cells if cell.level <= level), key=lambda cell: cell.level)
            cells.append(SensitivityCell(level, row.group.units, cell.pruned, cell.estimate, cell not in open_))
        return SensitivityRow(row.group.name, row.group.members, row.group.units, tuple(cells))
