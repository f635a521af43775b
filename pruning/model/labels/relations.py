"""What tracing finds out about labels: which fall together, which can never fall, and why. All in tensors of pairs."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from pruning.model.labels.marks import CONSTANT, DATA, FIRST, compact


@dataclass
class Relations:
    """Collects while a network is traced; `here` is the operation and the module that the next entries are due to.

    `loose` is on within recurrent layers, whose layers and directions need not be alike.
    """

    here: str = ""
    module: str = ""
    loose: bool = False
    pairs: list[Tensor] = field(default_factory=list[Tensor])
    ties: list[tuple[Tensor, str]] = field(default_factory=list[tuple[Tensor, str]])
    locks: list[tuple[Tensor, str]] = field(default_factory=list[tuple[Tensor, str]])
    shared: list[tuple[Tensor, str]] = field(default_factory=list[tuple[Tensor, str]])
    statistics: list[tuple[Tensor, str]] = field(default_factory=list[tuple[Tensor, str]])
    written: list[Tensor] = field(default_factory=list[Tensor])
    read: list[Tensor] = field(default_factory=list[Tensor])
    consumed: list[Tensor] = field(default_factory=list[Tensor])
    unsure: list[Tensor] = field(default_factory=list[Tensor])
    heads: list[tuple[Tensor, str]] = field(default_factory=list[tuple[Tensor, str]])

    def at(self, operation: str, module: str) -> None:
        """Say which operation is next, in the module of which path."""
        self.module = module
        self.here = f"{operation} in {module}" if module else operation

    def add(self, others: "Relations") -> None:
        """Take over what was found out in another run."""
        for mine, theirs in (
            (self.pairs, others.pairs),
            (self.written, others.written),
            (self.read, others.read),
            (self.consumed, others.consumed),
            (self.unsure, others.unsure),
        ):
            mine.extend(theirs)
        for mine, theirs in (
            (self.ties, others.ties),
            (self.locks, others.locks),
            (self.shared, others.shared),
            (self.statistics, others.statistics),
            (self.heads, others.heads),
        ):
            mine.extend(theirs)

    def couple(self, first: Tensor, second: Tensor) -> Tensor:
        """Labels that meet fall together: what meets data never falls. Returns one label for each place."""
        first, second = torch.broadcast_tensors(first, second)
        met = (first >= FIRST) & (second >= FIRST) & (first != second)
        if bool(met.any()):
            self.pairs.append(torch.stack([first[met], second[met]]))
        for one, other in ((first, second), (second, first)):
            self.lock(one[(other == DATA) & (one >= FIRST)], of_no_layer(self.here))
        labelled = (first >= FIRST) | (second >= FIRST)
        return torch.where(labelled, torch.maximum(first, second), torch.minimum(first, second))

    def tie(self, labels: Tensor, dims: Iterable[int]) -> Tensor:
        """All labels along these dimensions fall together. Returns labels of size 1 along them."""
        over = [dim for dim in sorted(dims) if labels.shape[dim] > 1]
        if not over:
            return labels
        one = labels.amax(over, keepdim=True)
        spread = one.expand_as(labels)
        met = (labels >= FIRST) & (labels != spread)
        if bool(met.any()):
            self.ties.append((torch.stack([labels[met], spread[met]]), self.here))
        self.lock(spread[(labels == DATA) & (spread >= FIRST)], of_no_layer(self.here))
        return compact(one)

    def lock(self, labels: Tensor, why: str) -> None:
        """These labels never fall."""
        found = labels[labels >= FIRST]
        if found.numel():
            self.locks.append((found.unique(), why))

    def share(self, labels: Tensor, units: Tensor) -> None:
        """Each of these labels, a slice of a constant, meets several units: it falls only if it falls with one."""
        labels, units = torch.broadcast_tensors(labels, units)
        met = (labels >= FIRST) & (units >= FIRST)
        if bool(met.any()):
            self.shared.append((torch.stack([labels[met], units[met]]).unique(dim=1), self.here))

    def average(self, labels: Tensor) -> None:
        """A statistic is taken over these units: it changes when some of them are gone."""
        found = labels[labels >= FIRST]
        if found.numel():
            self.statistics.append((found.unique(), self.here))


def of_no_layer(where: str) -> str:
    """Why units stay that meet data."""
    return f"its units meet values that no layer makes, such as the input, at {where}"


def roots(count: int, pairs: list[Tensor]) -> Tensor:
    """The smallest label of those that each label falls together with: int64 [count]."""
    if not pairs:
        return torch.arange(count)
    first, second = torch.cat(pairs, dim=1).numpy()
    edges = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(count, count))
    number, part = connected_components(edges, directed=False)
    smallest = np.full(number, count)
    np.minimum.at(smallest, part, np.arange(count))
    return torch.from_numpy(smallest[part])


def joined(count: int, relations: Relations) -> tuple[Tensor, Tensor]:
    """The roots, once every shared slice that meets one unit only is of that unit; and the labels that several units
    share, which never fall.
    """
    pairs = [*relations.pairs, *(pair for pair, _ in relations.ties)]
    if not relations.shared:
        return roots(count, pairs), torch.zeros(0, dtype=torch.long)
    met = torch.cat([pair for pair, _ in relations.shared], dim=1)
    torn = torch.zeros(count, dtype=torch.bool)
    while True:
        root = roots(count, pairs)
        label, unit = torch.stack([root[met[0]], root[met[1]]]).unique(dim=1)
        apart = label != unit
        label, unit = label[apart], unit[apart]
        each, several = label.unique(return_counts=True)
        single = torch.isin(label, each[several == 1])
        if not bool(single.any()):
            torn[each[several > 1]] = True
            return root, torn.nonzero().flatten()
        pairs.append(torch.stack([label[single], unit[single]]))


assert CONSTANT < FIRST and DATA < FIRST
