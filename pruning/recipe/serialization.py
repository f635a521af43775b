"""Choices as JSON's plain values and back, each field read by its type.

msgspec reads the fields: it is strict (true is not 1, "1" is not 1), knows the types that annotations name, needs no
other package and is imported in a few milliseconds, where pydantic takes over a hundred. The choices themselves are
read here: their `kind` names a row of a table that may grow while the program runs, while msgspec's tagged unions are
closed and made of its own classes. Reading field by field also gives every error its full path, down to a layer's name.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from numbers import Real
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from pruning.errors import RecipeError
from pruning.options.constraints import Between, field_types, is_value, join, later, ranges
from pruning.recipe.catalog import in_words, is_row, kind_of, rows_of

_T = TypeVar("_T")


def to_plain(value: Any, hint: Any = None) -> Any:
    """A choice, or a field's value of the type `hint`, as JSON has it: equal values give equal JSON.

    A choice is an object with its `kind` and its fields. Sets and mappings are sorted. A switch that is off unless
    somebody turns it on is written only where it is on, and a field that came later only where it does not say what it
    says by default: files from before there was such a field keep their names.
    """
    if is_value(value):
        kind = {"kind": kind_of(value)} if is_row(type(value)) or rows_of(hint) is not None else {}
        hints = field_types(type(value))
        return kind | {
            f.name: to_plain(getattr(value, f.name), hints[f.name]) for f in fields(value) if _said(value, f)
        }
    if isinstance(value, Mapping):
        inner = get_args(hint)[1] if get_args(hint) else None
        return {key: to_plain(found, inner) for key, found in sorted(value.items())}  # type: ignore[arg-type]
    if isinstance(value, frozenset):
        return sorted(value)  # type: ignore[arg-type]
    if isinstance(value, tuple):
        return list(value)  # type: ignore[arg-type]
    return value if isinstance(value, bool) or not isinstance(value, Real) else _number(value, hint)


def from_plain(made: type[_T], values: Mapping[str, Any], where: str = "") -> _T:
    """An instance of the dataclass from a JSON object that stands at `where` in a recipe; "" is the recipe itself.

    Keys that start with // are comments. RecipeError names the bad field, its value and the allowed ones.
    """
    hints, limits = field_types(made), ranges(made)
    known: dict[str, Field[Any]] = {f.name: f for f in fields(made)}  # type: ignore[arg-type]
    given = {name: value for name, value in values.items() if not name.startswith("//")}
    if unknown := sorted(given.keys() - known.keys()):
        raise RecipeError(f"{join(where, unknown[0])} is not a field; use {', '.join(sorted(known)) or 'none'}")
    for name, f in known.items():
        if name not in given and f.default is MISSING and f.default_factory is MISSING:
            raise RecipeError(f"{join(where, name)} is missing; it is {in_words(hints[name], limits.get(name))}")
    read = {name: _read(join(where, name), hints[name], limits.get(name), value) for name, value in given.items()}
    try:
        return made(**read)
    except RecipeError as error:
        raise (error.at(where) if where else error) from None


def require_text(values: Any, what: str) -> None:
    """RecipeError if a text in JSON's plain values cannot be written down: half of a character, as \\ud800 is."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RecipeError(f"the {what} holds half of a character, which is no text; write it anew") from None


def short(value: Any) -> str:
    """A plain value for a sentence: as JSON, cut off where it is long."""
    text = "missing" if value is None else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _read(where: str, hint: Any, limits: Between | None, value: Any) -> Any:
    """The value of a field of the type `hint`."""
    if (rows := rows_of(hint)) is not None:
        return _read_choice(where, rows, value)
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        return from_plain(hint, value, where)  # type: ignore[arg-type]
    if get_origin(hint) is Mapping and isinstance(value, dict):
        inner = get_args(hint)[1]
        return {key: _read(f"{where}.{key}", inner, limits, item) for key, item in value.items()}  # type: ignore[arg-type]
    try:
        # JSON has one kind of number: 1.0 is a whole number too
        found = msgspec.convert(_number(value, hint) if isinstance(value, float) else value, hint)
        if not isinstance(found, float) or math.isfinite(found):
            return found
    except msgspec.ValidationError:
        pass  # its message names neither the value nor all that is allowed
    allowed = in_words(hint, limits)
    choices = get_origin(hint) is Literal
    way_out = f"use one of {', '.join(map(str, get_args(hint)))}" if choices else f"it is {allowed}"
    raise RecipeError(f"{where} is {short(value)}; {way_out}")


def _read_choice(where: str, rows: Mapping[str, type[Any]], value: Any) -> Any:
    if not isinstance(value, dict):
        raise RecipeError(f'{where} is {short(value)}; it is an object such as {{"kind": "{next(iter(rows))}"}}')
    given: dict[str, Any] = dict(value)  # type: ignore[arg-type]
    kind = given.pop("kind", None)
    if not isinstance(kind, str) or kind not in rows:
        raise RecipeError(f"{where}.kind is {short(kind)}; use one of {', '.join(sorted(rows))}")
    return from_plain(rows[kind], given, where)


def _said(value: Any, f: Field[Any]) -> bool:
    """Whether a field is written: not where it is a switch that is off as usual, or came later and says the usual."""
    found = getattr(value, f.name)
    if f.name in later(type(value)):
        return found != (f.default if f.default_factory is MISSING else f.default_factory())
    return not (f.default is False and found is False)


def _number(value: Any, hint: Any) -> Any:
    """A number as a field of the type has it: as float (0.0 for -0.0), or as whole number where it is one."""
    if hint is None:
        return value
    if float in (hint, *get_args(hint)):
        return float(value) + 0.0
    return int(value) if math.isfinite(value) and value == int(value) else value
