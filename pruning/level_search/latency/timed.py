"""Latency as a search's cost: foreseen by the table, and corrected by what was measured."""

from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from pruning.errors import PruningError, RecipeError
from pruning.evaluation.accuracy import time_left
from pruning.level_search.additive import Additive, Levels
from pruning.level_search.joint_cuts import JointCuts
from pruning.level_search.latency.measurement import grain, inputs_of, measured_table
from pruning.level_search.latency.table import LatencyTable

MOST_ERROR = 0.1
"""How far the sum of a table may be from a measured pass, as a share of it."""
TRIES = 3
"""A machine that is busy with something else tells wrong times: then it is asked again."""
LAST = 3
"""Cuts whose times correct the table."""


@dataclass(eq=False)
class Timed:
    """Milliseconds of a pass. `here` says that it is this machine's table; of another's nothing is measured here."""

    cuts: JointCuts
    latencies: LatencyTable
    inputs: torch.Tensor
    here: bool
    _ratios: deque[float] = field(init=False, default_factory=lambda: deque[float](maxlen=LAST))

    @property
    def dense(self) -> float:
        return self.latencies.times.base

    def offered(self, name: str, counts: tuple[int, ...]) -> tuple[int, ...]:
        units = self.cuts.units[name]
        step = grain(units)
        most = self.latencies.ladder[name][-1]
        return tuple(count for count in counts if count == 0 or ((units - count) % step == 0 and count <= most))

    def table(self, levels: Levels) -> Additive:
        found = self.latencies.at(levels)
        base = found.base
        single = {name: values / base for name, values in found.single.items()}
        return Additive(1.0, single, {pair: values / base for pair, values in found.pairs.items()})

    def bound(self, budget: float) -> float:
        return budget / self._ratio

    def foreseen(self, pruned: Mapping[str, int]) -> float:
        return self._ratio * self.latencies.milliseconds(pruned) / self.dense

    def seen(self, pruned: Mapping[str, int], model: nn.Module) -> float:
        if not self.here:
            return self.foreseen(pruned)
        took = time_left(model, self.cuts.dense, self.inputs)
        self._ratios.append(took / (self.latencies.milliseconds(pruned) / self.dense))
        return took

    @property
    def _ratio(self) -> float:
        """Of a cut's time to what the table says: the largest of the last ones. Careful with a budget, and forgotten
        after some cuts where it was the machine that was slow.
        """
        return max(self._ratios, default=1.0)


def timed(cuts: JointCuts, batch: int = 1) -> Generator[float, None, Timed]:
    """Measure the table of this machine; yields the share that is done.

    PruningError where the sum is more than a tenth away from the measured passes, whatever is tried.
    """
    error = 0.0
    for _ in range(TRIES):
        table = yield from measured_table(cuts, batch)
        error = table.error
        if error <= MOST_ERROR:
            return Timed(cuts, table, inputs_of(cuts, batch), here=True)
    raise PruningError(
        f"the layers' times add up to something {error:.0%} away from the whole pass: the machine is busy with "
        "something else, or the network's time does not lie in its layers; end other programs, or search for MACs"
    )


def of_table(cuts: JointCuts, table: LatencyTable) -> Timed:
    """Times that another machine has measured. RecipeError where they are of other groups."""
    if set(table.ladder) != set(cuts.units):
        raise RecipeError(
            f"the table of latencies is of the groups {', '.join(table.ladder)}, and here there are "
            f"{', '.join(cuts.units)}: measure one with this network and granularity"
        )
    return Timed(cuts, table, inputs_of(cuts, table.batch), here=False)
