"""Which choices go together. Every rule is here, and each gives a sentence that says what to choose instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pruning.criteria import ANY, CRITERIA, Criterion, LeavesOut
from pruning.granularities import GRANULARITIES, Granularity
from pruning.model.layer_types import is_a
from pruning.selection.amounts import Amount
from pruning.selection.scopes import SCOPES, Scope

if TYPE_CHECKING:
    from torch import nn

    from pruning.model.units import UnitGroup


def incompatibility(criterion: Criterion, granularity: Granularity, scope: Scope, amount: Amount) -> str:
    """A sentence that says why the choices do not go together and what to choose; empty where they do."""
    if not fits(type(criterion), _kind(GRANULARITIES, granularity)):
        known = [name for name in criterion.fits if name in GRANULARITIES]
        what = " and ".join(GRANULARITIES[name].unit for name in known) if len(known) < 3 else "larger units"
        return (
            f"{_kind(CRITERIA, criterion)} scores {what}, not {granularity.unit}: "
            f"choose granularity {' or '.join([', '.join(known[:-1]), known[-1]] if len(known) > 1 else known)}"
        )
    if scope.within_rows and not granularity.rows:
        there = " or ".join(name for name, made in GRANULARITIES.items() if made.rows)
        return (
            f"scope {_kind(SCOPES, scope)} lets units of one row compete, and {granularity.unit} lie in no rows: "
            f"choose granularity {there}, or scope global or layer"
        )
    if amount.removes and not granularity.removable:
        there = " or ".join(name for name, made in GRANULARITIES.items() if made.removable)
        return (
            f"a budget of {amount.removes} is met by removing units, and {granularity.unit} are only "
            f"set to zero: choose granularity {there}, or a budget of parameters"
        )
    return ""


def fits(criterion: type[Criterion], granularity: str) -> bool:
    """Whether the criterion can score units of the granularity of that name."""
    return criterion.fits == ANY or granularity in criterion.fits


def unscored(criterion: Criterion, model: nn.Module, groups: Sequence[UnitGroup]) -> dict[str, str]:
    """Group name -> why the criterion cannot score it: a layer of a type that it does not know, or its own reason."""
    from pruning.model.layer_table import owning_layer

    reasons: dict[str, str] = {}
    kind = _kind(CRITERIA, criterion)
    for group in groups:
        for param in group.params:
            layer = owning_layer(model, param)
            if not is_a(layer, criterion.layers):
                known = ", ".join(criterion.layers)
                reasons[group.name] = (
                    f"{kind} does not score {type(layer).__name__} (it scores {known}): choose another criterion"
                )
        # only layers of known types are asked about: a criterion need not expect any other
        of_known_type = group.name not in reasons
        if of_known_type and isinstance(criterion, LeavesOut) and (reason := criterion.why_not(model, group)):
            reasons[group.name] = reason
    return reasons


def _kind(table: Mapping[str, type[Any]], choice: object) -> str:
    """The name that a choice goes by in its table."""
    return next((name for name, made in table.items() if made is type(choice)), type(choice).__name__.lower())
