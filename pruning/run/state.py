"""How far a run is: its plan, the round it is in, and all that the rest of it depends on. Checkpoints hold it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pruning.events import Event, Masked, Repaired, Stage
from pruning.model.devices import Randomness
from pruning.model.units import Keep, Masks
from pruning.training.fine_tuning import Training
from pruning.training.schedules import Round


@dataclass(frozen=True, eq=False)
class Plan:
    """What is known before the first round, and the same in all rounds.

    `stages` are those measured by then: dense and pruned. `divisors` (group -> number) are what the scores of a group
    are divided by before groups are compared, known before the first cut. `mean_sizes` (group -> number) are of the
    dense network's units, as far as a regulariser pushes them to zero. `early` are the values that weights go back to
    after each cut, by the name of the tensor; empty where they do not.
    """

    rounds: tuple[Round, ...]
    stages: Mapping[str, Stage]
    divisors: Mapping[str, float]
    mean_sizes: Mapping[str, float]
    early: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])


@dataclass(frozen=True, eq=False)
class RoundStart:
    """The network before a round, where the schedule may take the round back. `tensors` are copies."""

    keep: Keep
    reported: Masked
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class RoundCut:
    """What a round prunes: `keep` says which units stay, `reported` is the event that says so.

    `number` counts from 0; `done` are the optimiser steps of earlier rounds; `before` is None if the schedule never
    takes a round back.
    """

    number: int
    done: int
    keep: Keep
    reported: Masked
    before: RoundStart | None


@dataclass(frozen=True, eq=False)
class RunState:
    """How far a run is after a validation: all that the rest of it depends on.

    `score` is the latest on the validation split, `step` counts optimiser steps. `tensors` are the model's own and no
    copies: the run changes them as soon as it goes on, so whoever keeps them has to write or copy them at once.
    """

    plan: Plan
    cut: RoundCut
    step: int
    score: float
    tensors: Mapping[str, Tensor]
    training: Mapping[str, Any]
    randomness: Randomness


@dataclass(frozen=True, eq=False)
class RepairedCut:
    """The whole amount taken from the dense network at once, repaired: who stays, and all values of the network.

    `reported` is the event that said so.
    """

    keep: Keep
    tensors: Mapping[str, Tensor]
    reported: Repaired

    def is_that_of(self, keep: Keep) -> bool:
        """Whether the same units stay."""
        return keep.keys() == self.keep.keys() and all(bool((keep[name] == self.keep[name]).all()) for name in keep)


@dataclass(frozen=True, eq=False)
class CurrentRound:
    """The round that a run is in. `score` is the latest validation score, None if the round is not pruned yet.

    `grown` is True where weights have come back that were pruned before this round. `repaired` is its cut where that
    has been made and repaired before.
    """

    cut: RoundCut
    masks: Masks
    training: Training
    score: float | None = None
    grown: Masks = field(default_factory=dict[str, Tensor])
    repaired: RepairedCut | None = None


Save = Callable[[RunState], Iterable[Event]]
"""Keeps the state, for instance in a checkpoint; returns events to report, such as a warning that it failed."""
