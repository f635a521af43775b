"""What becomes of the weights that a cut leaves, before they are trained again? One class a rewind."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol

from pruning.options.constraints import Between, check


class Rewind(Protocol):
    """Says with which values the weights go on that a cut leaves.

    `formula`, `source` and `cost` are shown beside the choice. `step` is the optimiser step of the training from
    scratch whose weights come back, None where none do; `anew` says that they are drawn anew.
    """

    formula: ClassVar[str]
    source: ClassVar[str]
    cost: ClassVar[str]
    anew: ClassVar[bool]

    @property
    def step(self) -> int | None: ...


@dataclass(frozen=True)
class NoRewind:
    """The weights that are left go on from what they have learnt.

    Where each round is a training of its own, only the learning rate goes back: that is learning-rate rewinding.
    (Renda et al. 2020, arXiv 2003.02389.)
    """

    formula: ClassVar[str] = ""
    source: ClassVar[str] = "Renda 2020"
    cost: ClassVar[str] = "nothing"
    anew: ClassVar[bool] = False

    @property
    def step(self) -> None:
        return None


@dataclass(frozen=True)
class RewindWeights:
    """After each cut the weights that are left go back to what they were early in their training: lottery tickets.

    (Frankle and Carbin 2019, arXiv 1803.03635, to step 0; Frankle et al. 2020, arXiv 1912.05671, to a later one.) The
    rest of the network goes back with them: biases, norms and their statistics.
    """

    step: Annotated[int, Between(0, 10_000_000)] = 100
    """The optimiser step of the training from scratch that they go back to; 0: as they were drawn."""

    formula: ClassVar[str] = "w ← m ⊙ w_step"
    source: ClassVar[str] = "Frankle 2019, 2020"
    cost: ClassVar[str] = "a copy of the weights"
    anew: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check(self, "rewind")


@dataclass(frozen=True)
class DrawAnew:
    """After each cut the weights that are left are drawn anew: the control of rewinding, which keeps the mask alone.

    (Frankle and Carbin 2019, arXiv 1803.03635, "random reinitialization".)
    """

    formula: ClassVar[str] = "w ← m ⊙ w_drawn"
    source: ClassVar[str] = "Frankle 2019"
    cost: ClassVar[str] = "nothing"
    anew: ClassVar[bool] = True

    @property
    def step(self) -> None:
        return None


REWINDS: dict[str, type[Rewind]] = {"none": NoRewind, "weights": RewindWeights, "draw_anew": DrawAnew}
