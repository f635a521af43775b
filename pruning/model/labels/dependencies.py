"""What falls together in a network, found by running its own code on labels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pruning.errors import SurgeryError, describe
from pruning.model.labels.marks import FIRST
from pruning.model.labels.relations import Relations, joined
from pruning.model.labels.tracing import Axis, axes_of, follow
from pruning.model.patching import evaluating, training_tried

Integers = NDArray[np.int64]

SPREAD = "several of the units that read it share it, as heads share one key: its units always stay"


@dataclass(frozen=True, eq=False)
class Alike:
    """Units that own equally many slices of the same axes: `index[axis]` is int64 [units, slices of the axis]."""

    roots: Integers
    index: dict[Axis, Tensor]


@dataclass(frozen=True, eq=False)
class Dependencies:
    """Which slices of a network's tensors fall together, as the root of every label.

    `locked` says of roots why they never fall, `averaged` where a statistic is taken over a root's units (its value
    changes when some are gone), `ties` where units were found to fall only together. `written` are the axes along
    which weights make units, `read` those along which they read them, `consumed` the roots that anybody reads. `heads`
    are the roots that are heads of attention, with the modules that multiply them, `unseen` parameters without use.
    """

    axes: tuple[Axis, ...]
    root: Tensor
    locked: dict[int, str]
    averaged: dict[int, str]
    ties: dict[int, str]
    written: frozenset[Axis]
    read: frozenset[Axis]
    consumed: frozenset[int]
    heads: dict[int, tuple[str, ...]]
    unseen: tuple[str, ...]

    def roots_of(self, axis: Axis) -> Tensor:
        """The root of every slice of an axis [length]."""
        return self.root[axis.first : axis.first + axis.length]

    def alike(self, roots: Iterable[int]) -> list[Alike]:
        """The slices that each of these roots owns, those together that own equally many of the same axes.

        In the order of their first slices.
        """
        wanted = np.fromiter(set(roots), dtype=np.int64)
        root = self.root.numpy()
        labels = np.flatnonzero(np.isin(root, wanted))
        labels = labels[labels >= FIRST]
        firsts = np.array([axis.first for axis in self.axes])
        axis_of = np.searchsorted(firsts, labels, side="right") - 1
        order = np.lexsort((labels, axis_of, root[labels]))
        labels, axis_of = labels[order], axis_of[order]
        cuts = np.flatnonzero(np.diff(root[labels])) + 1
        found: dict[bytes, list[tuple[int, Integers, Integers]]] = {}
        for owned, along in zip(np.split(labels, cuts), np.split(axis_of, cuts), strict=True):
            if len(owned):
                found.setdefault(along.tobytes(), []).append((int(root[owned[0]]), owned, along))
        return [self._alike(sorted(units, key=lambda unit: int(unit[1][0]))) for units in found.values()]

    def _alike(self, units: Sequence[tuple[int, Integers, Integers]]) -> Alike:
        table = np.stack([owned for _, owned, _ in units])
        along = units[0][2]
        index = {
            self.axes[number]: torch.from_numpy(table[:, along == number] - self.axes[number].first)
            for number in np.unique(along)
        }
        return Alike(np.array([root for root, _, _ in units]), index)


def dependencies_of(model: nn.Module, example: Tensor) -> Dependencies:
    """Follow the labels of every slice while the model computes `example` [1, *input]. The model is untouched.

    Layers that evaluation does without, such as auxiliary heads, are followed in training mode. SurgeryError says what
    in the network cannot be followed.
    """
    axes, relations = axes_of(model), Relations()
    try:
        with evaluating(model):
            used = follow(model, example, axes, relations)
    except Exception as error:
        raise SurgeryError(
            f"what falls together in the network cannot be followed ({describe(error)}, at {relations.here}); "
            "choose granularity weights"
        ) from error
    parameters = {name for name, _ in model.named_parameters()}
    if parameters - used:
        used |= _followed_in_training(model, example, axes, relations)
    return _settled(axes, relations, tuple(sorted(parameters - used)))


def _followed_in_training(model: nn.Module, example: Tensor, axes: list[Axis], relations: Relations) -> set[str]:
    """What is used in training mode; nothing where it does not run, which fine-tuning will say."""
    tried = Relations()
    try:
        with training_tried(model), torch.random.fork_rng(devices=[]):
            used = follow(model, torch.cat([example, example]), axes, tried)
    except Exception:  # whatever a stranger's forward raises
        return set()
    relations.add(tried)
    return used


def _heads(root: Tensor, relations: Relations) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    for labels, module in relations.heads:
        for each in root[labels[labels >= FIRST]].unique().tolist():
            found[each] = tuple(dict.fromkeys((*found.get(each, ()), module)))
    return found


def _settled(axes: list[Axis], relations: Relations, unseen: tuple[str, ...]) -> Dependencies:
    count = axes[-1].first + axes[-1].length if axes else FIRST
    root, torn = joined(count, relations)
    locked: dict[int, str] = {}
    for labels, why in [*relations.locks, (torn, SPREAD)]:
        for each in root[labels].unique().tolist():
            locked.setdefault(each, why)

    def said(entries: Iterable[tuple[Tensor, str]]) -> dict[int, str]:
        found: dict[int, str] = {}
        for labels, where in entries:
            for each in root[labels.flatten()].unique().tolist():
                found.setdefault(each, where)
        return found

    firsts = torch.tensor([axis.first for axis in axes])

    def axes_named(entries: list[Tensor]) -> frozenset[Axis]:
        labels = torch.cat([torch.zeros(0, dtype=torch.long), *entries])
        labels = labels[labels >= FIRST]
        return frozenset(axes[i] for i in (torch.searchsorted(firsts, labels, right=True) - 1).unique().tolist())

    def roots_named(entries: list[Tensor]) -> frozenset[int]:
        labels = torch.cat([torch.zeros(0, dtype=torch.long), *entries])
        return frozenset(root[labels[labels >= FIRST]].unique().tolist())

    unsure = axes_named(relations.unsure)
    return Dependencies(
        tuple(axes),
        root,
        locked,
        said(relations.statistics),
        said(relations.ties),
        axes_named(relations.written) | {axis for axis in unsure if axis.dim == 0},
        axes_named(relations.read) | {axis for axis in unsure if axis.dim != 0},
        roots_named(relations.consumed),
        _heads(root, relations),
        unseen,
    )
