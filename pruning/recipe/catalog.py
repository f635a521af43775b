"""Everything that can be chosen in a recipe: one table of all tables, each with the question that it answers.

The recipe, its JSON, the page, the command line and the documentation read it. The rows are looked up when they are
asked for: a class that somebody adds to a table at run time counts everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any, Literal, get_args, get_origin

from pruning.criteria import CRITERIA, Criterion
from pruning.errors import RecipeError
from pruning.granularities import GRANULARITIES, Granularity
from pruning.options.constraints import Between, field_types, ranges
from pruning.repair import REPAIRS, Repair
from pruning.selection.amounts import AMOUNTS, Amount, Automatic, PerLayer, Rest
from pruning.selection.scopes import SCOPES, Scope
from pruning.training.distillation import DISTILLATIONS, Distillation
from pruning.training.regularisers import REGULARISERS, Regulariser
from pruning.training.rewinds import REWINDS, Rewind
from pruning.training.schedules import SCHEDULES, Schedule
from pruning.training.starts import STARTS, Start


@dataclass(frozen=True)
class Choice:
    """A field of a recipe that is a row of a table: the classes by their kind, and the protocol that they keep."""

    question: str
    protocol: Any
    rows: Mapping[str, type[Any]]


CHOICES: dict[str, Choice] = {
    "criterion": Choice("How important is a unit? The least important are pruned.", Criterion, CRITERIA),
    "granularity": Choice("What lives or dies together?", Granularity, GRANULARITIES),
    "scope": Choice("Who competes with whom?", Scope, SCOPES),
    "amount": Choice("How much is pruned?", Amount, AMOUNTS),
    "schedule": Choice("In how many rounds, along which curve, how often?", Schedule, SCHEDULES),
    "repair": Choice("How is a cut network put right before any training?", Repair, REPAIRS),
    "distillation": Choice(
        "What does the network learn from a teacher while it is tuned?", Distillation, DISTILLATIONS
    ),
    "start": Choice("Which network is pruned: as it was trained, or trained from scratch?", Start, STARTS),
    "rewind": Choice("With which values do the weights go on that a cut leaves?", Rewind, REWINDS),
    "regulariser": Choice("What pushes units to zero while the network is trained?", Regulariser, REGULARISERS),
}

_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def rows_of(hint: Any) -> Mapping[str, type[Any]] | None:
    """The rows that a field of this type chooses from, by their kind; None where the type is no choice."""
    if hint == Rest:
        return rest_rows()
    return next((choice.rows for choice in CHOICES.values() if choice.protocol is hint), None)


def rest_rows() -> dict[str, type[Any]]:
    """The amounts for layers that are not set by hand: all but those that say something of every layer."""
    return {kind: made for kind, made in AMOUNTS.items() if made not in (PerLayer, Automatic)}


def is_row(made: type[Any]) -> bool:
    """Whether the class stands in one of the tables."""
    return any(made is row for choice in CHOICES.values() for row in choice.rows.values())


def kind_of(choice: object) -> str:
    """The name that a choice goes by in its table. RecipeError if its class is in none."""
    found = (kind for choices in CHOICES.values() for kind, made in choices.rows.items() if made is type(choice))
    if kind := next(found, ""):
        return kind
    name = type(choice).__name__
    raise RecipeError(f'{name} is in no table of choices; add it to its table, as in CRITERIA["mine"] = {name}')


def takes(made: type[Any], name: str) -> str:
    """The values that a field takes, in words."""
    return in_words(field_types(made)[name], ranges(made).get(name))


def in_words(hint: Any, limits: Between | None = None) -> str:
    """The values of a type, with the range of its numbers."""
    range_ = f" {limits}" if limits else ""
    if (rows := rows_of(hint)) is not None:
        return "an object of kind " + " or ".join(rows)
    if hint in _WORDS:
        return _WORDS[hint] + (range_ if hint in (int, float) else "")
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if get_origin(hint) is Mapping:
        return f"an object with {in_words(get_args(hint)[1], limits)} for each layer"
    if get_origin(hint) in (tuple, frozenset):
        return "a list of layer names" if get_args(hint)[0] is str else f"a list, each {in_words(get_args(hint)[0])}"
    if is_dataclass(hint):
        return "an object with fields"
    options = [in_words(option, limits) for option in get_args(hint) if option is not type(None)]
    return " or ".join([*options, "null"]) if options else str(hint)
