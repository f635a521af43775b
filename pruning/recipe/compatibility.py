"""Which choices go together. Every rule is here, and each gives a sentence that says what to choose instead."""

import reprlib
from collections.abc import Mapping
from typing import Any

from pruning.criteria import ANY, CRITERIA, Criterion
from pruning.granularities import GRANULARITIES, Granularity, Weights
from pruning.options.constraints import is_value
from pruning.recipe.catalog import CHOICES
from pruning.repair import NoRepair, Repair
from pruning.selection.amounts import Amount, Automatic
from pruning.selection.scopes import SCOPES, Scope
from pruning.training.regularisers import REGULARISERS, Regulariser
from pruning.training.rewinds import REWINDS, Rewind
from pruning.training.schedules import SCHEDULES, RigL, Schedule
from pruning.training.starts import Start
from pruning.training.tuning import Tuning


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
    return unmet_cost(amount.cost, granularity) if isinstance(amount, Automatic) else ""


def untimely_patience(schedule: Schedule, tuning: Tuning) -> str:
    """A sentence where a training would end early that has cuts still to come; empty where none would."""
    if tuning.patience is None or not schedule.continuous:
        return ""
    return (
        f"tuning.patience ends the training of a round early, and schedule {_kind(SCHEDULES, schedule)} has one "
        "training for all of its cuts: leave tuning.patience empty, or choose schedule polynomial"
    )


def no_exchange(schedule: Schedule, granularity: Granularity, scope: Scope) -> str:
    """A sentence where a schedule exchanges weights and the units are no single weights, or are counted in each row."""
    if not isinstance(schedule, RigL):
        return ""
    name = _kind(SCHEDULES, schedule)
    if not isinstance(granularity, Weights):
        return (
            f"schedule {name} exchanges single weights, and {granularity.unit} are whole units: choose granularity "
            "weights, or schedule polynomial_decay"
        )
    if scope.within_rows:
        return (
            f"schedule {name} exchanges weights within a layer, and scope {_kind(SCOPES, scope)} counts them in each "
            "row: choose scope global or layer, or schedule polynomial_decay"
        )
    return ""


def no_rewind(rewind: Rewind, start: Start, schedule: Schedule, repair: Repair, tuning: Tuning) -> str:
    """A sentence where weights cannot go back after a cut, or nothing would come of it; empty where they can."""
    name = f"rewind {_kind(REWINDS, rewind)}"
    if rewind.step is None and not rewind.anew:
        return ""
    if rewind.step is not None and not start.anew:
        return f"{name} goes back into a training from scratch, and there is none: choose start scratch"
    if schedule.continuous:
        return (
            f"{name} needs rounds that are trainings of their own, and schedule {_kind(SCHEDULES, schedule)} is one "
            "training: choose schedule geometric"
        )
    if not isinstance(repair, NoRepair):
        return f"{name} puts other values in the place of those that a repair has made: choose repair none"
    if not tuning.epochs:
        return f"{name} leaves weights that have to learn, and tuning.epochs is 0: raise tuning.epochs"
    return ""


def never_acts(regulariser: Regulariser, tuning: Tuning) -> str:
    """A sentence where the regulariser acts in no training; empty where it does, or where there is none."""
    if regulariser.after_cuts and not regulariser.epochs and not tuning.epochs:
        return (
            f"regulariser {_kind(REGULARISERS, regulariser)} acts in the tuning after each cut alone, and there is "
            "none: raise tuning.epochs, or regulariser.epochs to train before the first cut"
        )
    return ""


def unmet_cost(cost: str, granularity: Granularity) -> str:
    """A sentence that says why a search cannot make this cost smaller with the granularity; empty where it can."""
    if granularity.removable or cost == "parameters":
        return ""
    there = " or ".join(name for name, made in GRANULARITIES.items() if made.removable)
    what = {"macs": "MACs get", "bytes": "bytes get"}.get(cost, "passes take less time and latency gets")
    return (
        f"{what} less only where units are removed, and {granularity.unit} are only set to zero, which makes no dense "
        f"kernel faster: choose granularity {there}, or the cost parameters"
    )


def fits(criterion: type[Criterion], granularity: str) -> bool:
    """Whether the criterion can score units of the granularity of that name."""
    return criterion.fits == ANY or granularity in criterion.fits


def wrong_value(recipe: Any) -> str:
    """A sentence about the first field that holds something else than a choice of its own table; empty if none does.

    A class that stands in no table is let pass: it may be somebody's own.
    """
    for field, choice in CHOICES.items():
        value = getattr(recipe, field)
        if isinstance(value, type):
            return f"{field} is the class {value.__name__}; it is a value: write {value.__name__}()"
        if not is_value(value):
            example = next(iter(choice.rows.values())).__name__
            return f"{field} is {reprlib.repr(value)}; it is a value such as {example}()"
        own = next((name for name, other in CHOICES.items() if type(value) in other.rows.values()), field)
        if own != field:
            return f"{field} is {reprlib.repr(value)}, which is a choice of {own}; pass it as {own}=..."
    return ""


def _kind(table: Mapping[str, type[Any]], choice: object) -> str:
    """The name that a choice goes by in its table."""
    return next((name for name, made in table.items() if made is type(choice)), type(choice).__name__.lower())
