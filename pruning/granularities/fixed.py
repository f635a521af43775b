"""Units of a granularity that removes them, where a network cannot do without their places."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pruning.model.descriptions import ZEROED

if TYPE_CHECKING:
    from pruning.model.units import UnitGroup


def only_zeroed(group: UnitGroup, why_not: str) -> UnitGroup:
    """The group, its units set to zero and not removed; `why_not` is why they would have to stay."""
    return replace(group, fixed=why_not.removesuffix(": they always stay") + ZEROED)
