"""What every regulariser is: a term that training adds to the loss, so that units shrink before they are cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol

from pruning.errors import RecipeError
from pruning.options.constraints import Between, check

if TYPE_CHECKING:
    from torch import nn

    from pruning.model.units import UnitGroup
    from pruning.training.regularisers.penalty import Penalty

Strength = Annotated[float, Between(0.0, 1000.0, step=0.0001, above=True)]
Epochs = Annotated[int, Between(0, 1_000_000)]


class Regulariser(Protocol):
    """Pushes units towards zero while the network is trained.

    `formula`, `source` and `cost` are shown beside the choice. `epochs` says how long the dense network is trained with
    it before the first cut, `after_cuts` whether it also acts in the tuning after each cut.
    """

    formula: ClassVar[str]
    source: ClassVar[str]
    cost: ClassVar[str]

    @property
    def epochs(self) -> int: ...

    @property
    def after_cuts(self) -> bool: ...

    def penalty(self, model: nn.Module, groups: Sequence[UnitGroup]) -> Penalty | None:
        """The term for one training of the model, whose units are `groups`; None where nothing is added.

        RecipeError where the model has nothing that it could act on.
        """
        ...


def check_acts(regulariser: Regulariser) -> None:
    """RecipeError for a number out of its range, and where the regulariser would act in no training."""
    check(regulariser, "regulariser")
    if not regulariser.epochs and not regulariser.after_cuts:
        raise RecipeError(
            "regulariser.epochs is 0 and regulariser.after_cuts is off: it would never act; set one of them"
        )
