"""In how many rounds, along which curve, how often? One class a schedule, one line in the table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Protocol

from pruning.errors import RecipeError
from pruning.options.constraints import Between, Share, check


@dataclass(frozen=True)
class Round:
    """`progress` is the share of the amount that has been pruned once the round's cut is made; then come `steps`.

    Steps are optimiser steps of tuning. A round that is `before` any cut has a training of its own: the dense network
    is trained from scratch, or so that units shrink. Where `exchange` is above 0 nothing more is cut: that share of the
    weights that are left changes places with pruned ones.
    """

    progress: float
    steps: int
    before: Literal["", "from scratch", "sparse"] = ""
    exchange: float = 0.0


class Schedule(Protocol):
    """Gives the rounds of a run; after the last the whole amount has been pruned.

    `continuous` says that one training goes through all rounds, its learning rate on one cycle; else each round is a
    training of its own. `max_drop` is the drop of accuracy at which a run stops, None if it never does.
    """

    continuous: ClassVar[bool]

    @property
    def max_drop(self) -> float | None: ...

    def rounds_of(self, steps: int, target: float) -> Sequence[Round]:
        """The rounds, where a training takes `steps` optimiser steps and the amount is `target` of all units.

        RecipeError if they do not fit into the training.
        """
        ...


class _Rounds:
    """Every round is a training of its own, and no drop of accuracy ends the run."""

    continuous: ClassVar[bool] = False

    @property
    def max_drop(self) -> float | None:
        return None


Rounds = Annotated[int, Between(1, 1000)]


@dataclass(frozen=True)
class OneShot(_Rounds):
    """Everything is pruned in one round."""

    def rounds_of(self, steps: int, target: float) -> Sequence[Round]:
        return [Round(1.0, steps)]


@dataclass(frozen=True)
class Linear(_Rounds):
    """The same number of units is pruned in every round: after round t of n, t/n of the amount."""

    rounds: Rounds = 5
    """Rounds of pruning, each followed by tuning."""

    def __post_init__(self) -> None:
        check(self, "schedule")

    def rounds_of(self, steps: int, target: float) -> Sequence[Round]:
        return [Round(t / self.rounds, steps) for t in range(1, self.rounds + 1)]


@dataclass(frozen=True)
class Polynomial(_Rounds):
    """Much is pruned early and little late: after round t of n, 1 − (1 − t/n)^power of the amount has been pruned.

    (Zhu and Gupta 2017, arXiv 1710.01878, eq. 1, with initial sparsity 0; they use power 3.)
    """

    rounds: Rounds = 5
    """Rounds of pruning, each followed by tuning."""
    power: Annotated[float, Between(0.0, 100.0, step=0.5, above=True)] = 3.0
    """1 is a straight line; larger values prune more in the first rounds."""

    def __post_init__(self) -> None:
        check(self, "schedule")

    def rounds_of(self, steps: int, target: float) -> Sequence[Round]:
        return [Round(1.0 - (1.0 - t / self.rounds) ** self.power, steps) for t in range(1, self.rounds + 1)]


Steps = Annotated[int, Between(0, 10_000_000)]


@dataclass(frozen=True)
class PolynomialDecay:
    """Polynomial in optimiser steps, in one training: what Keras users know as PolynomialDecay.

    (Zhu and Gupta 2017, arXiv 1710.01878, eq. 1.) At step t the pruned share of the amount is
    1 + (initial − 1)·(1 − (t − begin)/(end − begin))^power. Cuts come at begin, begin + frequency, ..., and at the end;
    training goes on to the last step of tuning.
    """

    initial: Share = 0.0
    """The share of the amount that is pruned at the begin step: Keras' initial sparsity over the final one."""
    begin_step: Steps = 0
    """The optimiser step of the first cut."""
    end_step: Annotated[int, Between(1, 10_000_000)] = 1000
    """The optimiser step of the last cut: from there on the whole amount has been pruned."""
    frequency: Annotated[int, Between(1, 1_000_000)] = 100
    """Optimiser steps from one cut to the next."""
    power: Annotated[float, Between(0.0, 100.0, step=0.5, above=True)] = 3.0
    """1 is a straight line; larger values prune more early."""

    continuous: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check(self, "schedule")
        if self.begin_step >= self.end_step:
            raise RecipeError(
                f"schedule.begin_step is {self.begin_step} and end_step {self.end_step}; the begin comes before the end"
            )
        if self.end_step - self.begin_step > 1000 * self.frequency:
            raise RecipeError(
                f"schedule.frequency is {self.frequency}: that makes more than 1000 rounds; cut less often"
            )

    @property
    def max_drop(self) -> float | None:
        return None

    def progress(self, step: int) -> float:
        """The share of the amount that has been pruned at an optimiser step from begin_step to end_step."""
        done = (step - self.begin_step) / (self.end_step - self.begin_step)
        return 1.0 + (self.initial - 1.0) * (1.0 - done) ** self.power

    def rounds_of(self, steps: int, target: float) -> Sequence[Round]:
        if self.end_step > steps:
            raise RecipeError(
                f"schedule.end_step is {self.end_step}, but tuning takes {steps} optimiser steps: "
                "raise tuning.epochs or lower schedule.end_step"
            )
        cuts = [*range(self.begin_step, self.end_step, self.frequency), self.end_step]
        before = [Round(0.0, self.begin_step)] if self.begin_step else []
        return before + [Round(self.progress(at), after - at) for at, after in pairwise([*cuts, steps])]


@dataclass(frozen=True)
class RigL:
    """The whole amount is pruned at once; in the training after it small weights change places with pruned ones.

    (Evci et al. 2020, arXiv 1911.11134.) Every `frequency` steps of one training the share
    α/2 · (1 + cos(π t / T)) of each layer's weights is dropped, the smallest first, and as many weights grow where the
    dense gradient is largest, from 0: a weight that was pruned may return. Each layer keeps as many weights as it had.
    """

    share: Annotated[float, Between(0.0, 1.0, step=0.01, above=True)] = 0.3
    """α: the share of the weights left that the first exchange drops; it falls along half a cosine."""
    frequency: Annotated[int, Between(1, 1_000_000)] = 100
    """ΔT: optimiser steps from one exchange to the next."""
    end: Annotated[float, Between(0.0, 1.0, step=0.01, above=True)] = 0.75
    """T as a share of the training: there exchanges end, and the weights that are left are tuned."""

    continuous: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check(self, "schedule")

    @property
    def max_drop(self) -> float | None:
        return None

    def rounds_of(self, steps: int, target: float) -> Sequence[Round]:
        last = self.end * steps
        exchanges = range(self.frequency, math.ceil(last), self.frequency)
        if not exchanges:
            raise RecipeError(
                f"schedule.frequency is {self.frequency}, but exchanges end after {last:g} of {steps} optimiser steps: "
                "raise tuning.epochs or lower schedule.frequency"
            )
        if len(exchanges) > 1000:
            raise RecipeError(
                f"schedule.frequency is {self.frequency}: that makes more than 1000 exchanges; exchange less often"
            )
        shares = [self.share / 2 * (1 + math.cos(math.pi * at / last)) for at in exchanges]
        ends = [*exchanges[1:], steps]
        later = [Round(1.0, end - at, exchange=share) for at, end, share in zip(exchanges, ends, shares, strict=True)]
        return [Round(1.0, self.frequency), *later]


@dataclass(frozen=True)
class Geometric(_Rounds):
    """The same share of what remains is pruned in every round, until the amount is reached: the last round takes the
    rest.

    (Han et al. 2015, arXiv 1506.02626; Frankle and Carbin 2019, arXiv 1803.03635, with 20 % a round.) After round t
    1 − (1 − share)^t of all units have been pruned: with 20 % a round the amount 80 % takes eight rounds.
    """

    share: Annotated[float, Between(0.01, 0.99, step=0.01)] = 0.2
    """The share of the units left that is pruned in each round."""

    def __post_init__(self) -> None:
        check(self, "schedule")

    def rounds_of(self, steps: int, target: float) -> Sequence[Round]:
        progress: list[float] = []
        left = 1.0 - self.share
        while 1.0 - left < target - 1e-9 and left > 1e-6:  # of a millionth of the units nothing more is to be halved
            progress.append((1.0 - left) / target)
            left *= 1.0 - self.share
        return [Round(share, steps) for share in [*progress, 1.0]]


@dataclass(frozen=True)
class Until:
    """As linear, but the run stops before accuracy drops by more than asked: the last good round is returned.

    Validation accuracy is compared with the dense network's at the end of each round's tuning.
    """

    max_drop: Annotated[float, Between(0.0, 1.0, step=0.005, beyond=True)] = 0.01
    """The largest drop of validation accuracy, as a share of 1: 0.01 is one point. Another metric counts in its own
    unit, and where lower is better a rise counts.
    """
    rounds: Rounds = 10
    """Rounds up to the whole amount."""

    continuous: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check(self, "schedule")

    def rounds_of(self, steps: int, target: float) -> Sequence[Round]:
        return Linear(self.rounds).rounds_of(steps, target)


SCHEDULES: dict[str, type[Schedule]] = {
    "one_shot": OneShot,
    "linear": Linear,
    "polynomial": Polynomial,
    "polynomial_decay": PolynomialDecay,
    "rigl": RigL,
    "geometric": Geometric,
    "until": Until,
}
