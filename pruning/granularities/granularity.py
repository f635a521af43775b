"""What every granularity is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.units import UnitGroup


class Granularity(Protocol):
    """Gives unit groups. `removable` says whether pruned units can be taken out (surgery) or only set to zero.

    `unit` is what one of its units is called, in the plural. `rows` says whether several units lie in one row of a
    weight, so that they can compete within the row.
    """

    unit: ClassVar[str]
    removable: ClassVar[bool]
    rows: ClassVar[bool]

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        """The groups, in the model's order; and for each prunable row that is in none, by name, a sentence why not.

        `example` is one input [1, *input], on the model's device.
        """
        ...
