"""A recipe: every choice of a run as one frozen value that becomes JSON and back. Its hash names the run."""

import dataclasses
import hashlib
import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pruning.criteria import CRITERIA, Criterion, Magnitude
from pruning.errors import RecipeError
from pruning.granularities import GRANULARITIES, Granularity, Weights
from pruning.options.constraints import check
from pruning.recipe.compatibility import incompatibility
from pruning.selection.amounts import AMOUNTS, Amount, PerLayer, Rest, Sparsity
from pruning.selection.scopes import SCOPES, Global, Scope
from pruning.training.schedules import SCHEDULES, OneShot, Schedule
from pruning.training.tuning import Tuning

VERSION = 1

_T = TypeVar("_T")


@dataclass(frozen=True)
class Recipe:
    """What to prune, how, and how to heal it. Field names are the same in JSON, on the page and in the CLI."""

    workload: str
    criterion: Criterion = field(default_factory=Magnitude)
    granularity: Granularity = field(default_factory=Weights)
    scope: Scope = field(default_factory=Global)
    amount: Amount = field(default_factory=Sparsity)
    schedule: Schedule = field(default_factory=OneShot)
    tuning: Tuning = field(default_factory=Tuning)
    keep_whole: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for where in ("criterion", "granularity", "scope", "amount", "schedule"):
            check(getattr(self, where), where)  # a row need not remember to
        if sentence := incompatibility(self.criterion, self.granularity, self.scope, self.amount):
            raise RecipeError(sentence)
        if not 0 <= self.seed < 2**31:
            raise RecipeError(f"seed is {self.seed}; it is a whole number from 0 to {2**31 - 1}")
        if isinstance(self.amount, PerLayer) and (both := set(self.amount.shares) & set(self.keep_whole)):
            raise RecipeError(f"{min(both)} is in keep_whole and in amount.shares; take it out of one of them")

    @property
    def name(self) -> str:
        """The first eight hex digits of the SHA-256 of the recipe's JSON."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()[:8]


TABLES: dict[Any, Mapping[str, type[Any]]] = {
    Criterion: CRITERIA,
    Granularity: GRANULARITIES,
    Scope: SCOPES,
    Amount: AMOUNTS,
    Schedule: SCHEDULES,
    Rest: {kind: made for kind, made in AMOUNTS.items() if made is not PerLayer},
}


def kind_of(choice: object) -> str:
    """The name that a choice goes by in its table."""
    # looked up when asked: a row that somebody adds to a table at run time counts too
    return next(kind for table in TABLES.values() for kind, made in table.items() if made is type(choice))


def _is_choice(value: object) -> bool:
    return any(made is type(value) for table in TABLES.values() for made in table.values())


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """JSON-able dict with `version` first, then the fields in their order."""
    return {"version": VERSION, **{f.name: to_plain(getattr(recipe, f.name)) for f in fields(recipe)}}


def to_json(recipe: Recipe) -> str:
    """One line of JSON, the same for equal recipes."""
    return json.dumps(to_dict(recipe), allow_nan=False)


def from_json(text: str) -> Recipe:
    """The recipe that the JSON describes. RecipeError names the bad field, its value and the allowed ones."""
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise RecipeError(f"the recipe is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, brackets nested thousands deep
        raise RecipeError("the recipe holds a number too long or brackets too deep to be one; write it anew") from None
    return from_dict(values)


def from_dict(values: Any) -> Recipe:
    """As `from_json`, from what a JSON reader returns. Keys that start with // are comments."""
    if not isinstance(values, dict):
        raise RecipeError(f"a recipe is a JSON object, not {json.dumps(values, default=str)[:60]}")
    given: dict[str, Any] = dict(values)  # type: ignore[arg-type]
    version: object = given.pop("version", None)
    if version != VERSION or isinstance(version, bool):
        raise RecipeError(
            f"version is {_short(version)}; this program reads recipes of version {VERSION}: "
            "`python -m pruning recipe MODEL` writes one"
        )
    return _read_fields("", Recipe, given)


def to_plain(value: Any) -> Any:
    """A choice, or a field's value, as JSON has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = {"kind": kind_of(value)} if _is_choice(value) else {}
        hints = get_type_hints(type(value))
        # floats are written as floats also where Python was given 1 or -0.0: equal recipes have the same name
        return kind | {
            f.name: getattr(value, f.name) + 0.0 if hints[f.name] is float else to_plain(getattr(value, f.name))
            for f in fields(value)
        }
    if isinstance(value, Mapping):
        return {name: share + 0.0 for name, share in sorted(value.items())}  # type: ignore[arg-type]
    return list(value) if isinstance(value, tuple) else value  # type: ignore[arg-type]


def _read_fields(where: str, made: type[_T], values: dict[str, Any]) -> _T:
    """An instance of the dataclass from a dict, every field read by its type."""
    hints = get_type_hints(made)
    known = {f.name: f for f in fields(made)}  # type: ignore[arg-type]
    given = {name: value for name, value in values.items() if not name.startswith("//")}
    if unknown := sorted(given.keys() - known.keys()):
        raise RecipeError(f"{_join(where, unknown[0])} is not a field; use {', '.join(sorted(known)) or 'none'}")
    for name, f in known.items():
        if name not in given and f.default is MISSING and f.default_factory is MISSING:
            raise RecipeError(f"{_join(where, name)} is missing")
    return made(**{name: _read(_join(where, name), hints[name], value) for name, value in given.items()})


def _read(where: str, hint: Any, value: Any) -> Any:
    if hint in TABLES:
        return _read_choice(where, TABLES[hint], value)
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise RecipeError(f"{where} is {_short(value)}; it is an object with fields")
        return _read_fields(where, hint, value)  # type: ignore[arg-type]
    origin, options = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value not in options or isinstance(value, bool):
            raise RecipeError(f"{where} is {_short(value)}; use one of {', '.join(map(str, options))}")
        return options[options.index(value)]  # 1.0 is read as 1
    if origin in (Union, types.UnionType):  # T | None
        return None if value is None else _read(where, next(o for o in options if o is not type(None)), value)
    if origin is tuple:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):  # type: ignore[arg-type]
            raise RecipeError(f"{where} is {_short(value)}; it is a list of layer names")
        return tuple(value)  # type: ignore[arg-type]
    if origin is Mapping:
        if not isinstance(value, dict):
            raise RecipeError(f"{where} is {_short(value)}; it is an object with a share for each layer")
        return {name: _number(f"{where}.{name}", share) for name, share in value.items()}  # type: ignore[arg-type]
    if hint is int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise RecipeError(f"{where} is {_short(value)}; it is a whole number")
        return value
    if hint is float:
        return _number(where, value)
    if not isinstance(value, str):
        raise RecipeError(f"{where} is {_short(value)}; it is a text")
    return value


def _read_choice(where: str, table: Mapping[str, type[Any]], value: Any) -> Any:
    if not isinstance(value, dict):
        raise RecipeError(f'{where} is {_short(value)}; it is an object such as {{"kind": "{next(iter(table))}"}}')
    given: dict[str, Any] = dict(value)  # type: ignore[arg-type]
    kind = given.pop("kind", None)
    if not isinstance(kind, str) or kind not in table:
        raise RecipeError(f"{where}.kind is {_short(kind)}; use one of {', '.join(sorted(table))}")
    return _read_fields(where, table[kind], given)


def _number(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:  # NaN fails too
        raise RecipeError(f"{where} is {_short(value)}; it is a number")
    return float(value)


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _short(value: Any) -> str:
    text = "missing" if value is None else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
