"""What every granularity is."""

from typing import ClassVar, Protocol

from torch import Tensor, nn

from pruning.units import UnitGroup


class Granularity(Protocol):
    """Gives unit groups. `removable` says whether fallen units can be taken out (surgery) or only set to zero."""

    removable: ClassVar[bool]

    def groups(self, model: nn.Module, example: Tensor) -> list[UnitGroup]:
        """One group a row of the layer table, in the model's order. `example` is one input [1, *input]."""
        ...

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        """The groups; and for each prunable layer that is in none, by name, a sentence that says why."""
        ...
