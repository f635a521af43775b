"""Which network is pruned: the trained one, or one whose weights are drawn anew? One class a start."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol

from pruning.options.constraints import Between, check


class Start(Protocol):
    """Says where a run begins. `anew` says that all weights are drawn anew; then come `epochs` of training."""

    source: ClassVar[str]
    anew: ClassVar[bool]

    @property
    def epochs(self) -> int: ...


@dataclass(frozen=True)
class Trained:
    """The network begins with the weights that it was given."""

    source: ClassVar[str] = ""
    anew: ClassVar[bool] = False

    @property
    def epochs(self) -> int:
        return 0


@dataclass(frozen=True)
class Scratch:
    """All weights are drawn anew, by the seed, and the network is trained before anything is cut.

    Layers draw as torch's do (`reset_parameters`). The given network is still what the stages dense and pruned show.
    With 0 epochs the first cut is made among weights that have learnt nothing: a schedule then prunes while the network
    learns, as polynomial_decay does (Zhu and Gupta 2017, arXiv 1710.01878), or rigl.
    """

    epochs: Annotated[int, Between(0, 1_000_000)] = 5
    """Passes over the training images before the first cut, with the optimiser of the tuning."""

    source: ClassVar[str] = "Frankle 2019, Zhu 2017"
    anew: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check(self, "start")


STARTS: dict[str, type[Start]] = {"trained": Trained, "scratch": Scratch}
