"""What values the fields of a choice take: said once in the annotation, used by checks, JSON, forms and help."""

import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pruning.errors import RecipeError


@dataclass(frozen=True)
class Between:
    """Numbers from `low` to `high`, both included unless `above`: then they lie above `low`.

    A slider moves by `step`. With `beyond` larger numbers are taken too: `high` is then only where a slider ends. Where
    a number need not be given, `empty` is the word for what then counts.
    """

    low: float
    high: float
    step: float | None = None
    above: bool = False
    beyond: bool = False
    empty: str = ""

    def holds(self, value: float) -> bool:
        highest = sys.float_info.max if self.beyond else self.high
        return (self.low < value if self.above else self.low <= value) and value <= highest  # NaN fails too

    def __str__(self) -> str:
        low, high = _number(self.low), _number(self.high)
        if self.beyond:
            return f"from {low} on"
        return f"above {low} and at most {high}" if self.above else f"from {low} to {high}"


@dataclass(frozen=True)
class Later:
    """The field came after files had been written: it is written only where it says something else than by default.

    So a recipe that does not use it keeps its JSON and its name.
    """


Share = Annotated[float, Between(0.0, 1.0, step=0.005)]


@cache
def ranges(made: type[Any]) -> dict[str, Between]:
    """Field name -> the range of its numbers, of the fields that have one; for a mapping that of its values."""
    found: dict[str, Between] = {}
    for name, hint in get_type_hints(made, include_extras=True).items():
        limits = [part for part in _parts(hint) if isinstance(part, Between)]
        if limits:
            found[name] = limits[0]
    return found


@cache
def later(made: type[Any]) -> frozenset[str]:
    """Names of the fields that are written only where they say something else than by default."""
    hints = get_type_hints(made, include_extras=True)
    return frozenset(name for name, hint in hints.items() if any(isinstance(part, Later) for part in _parts(hint)))


@cache
def field_types(made: type[Any]) -> dict[str, Any]:
    """Field name -> its type. Kept, because Python evaluates the annotations anew whenever it is asked for them."""
    return get_type_hints(made)


def _parts(hint: Any) -> list[Any]:
    """The annotations of a type and of what it is made of."""
    inner = [part for argument in get_args(hint) for part in _parts(argument)] if get_origin(hint) else []
    return [*getattr(hint, "__metadata__", ()), *inner]


def check(choice: Any, where: str = "") -> None:
    """RecipeError that names the first field whose number is out of its range, e.g. `amount.share`.

    `where` is the choice's place in a recipe; "" for the recipe itself. Choices within the choice are checked too.
    """
    for place, problem in _problems(choice):
        raise RecipeError(f"{join(where, place)} {problem}", where)


def join(where: str, field: str) -> str:
    """The full name of a field of what stands at `where`: `amount.share`."""
    return f"{where}.{field}" if where else field


def is_value(found: object) -> bool:
    """Whether it is a dataclass' instance, such as a choice."""
    return is_dataclass(found) and not isinstance(found, type)


def _problems(choice: Any) -> Iterator[tuple[str, str]]:
    """Every field with a number that it does not take, and what is wrong with it."""
    limits, hints = ranges(type(choice)), field_types(type(choice))
    for f in fields(choice):
        value: Any = getattr(choice, f.name)
        if is_value(value):
            yield from ((f"{f.name}.{place}", problem) for place, problem in _problems(value))
        elif f.name in limits and value is not None:
            whole = float not in (hints[f.name], *get_args(hints[f.name]))
            for place, number in _numbers(f.name, value):
                if problem := _problem(number, limits[f.name], whole):
                    yield place, problem


def _numbers(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    """The number of a field, or the numbers of a mapping, each with its place."""
    return ((f"{name}.{key}", number) for key, number in value.items()) if hasattr(value, "items") else [(name, value)]


def _problem(number: Any, limits: Between, whole: bool) -> str:
    """What is wrong with a number; empty if nothing is. NumPy's numbers are numbers too."""
    if isinstance(number, bool) or not isinstance(number, Integral if whole else Real):
        return f"is {number!r}; it is {'a whole number' if whole else 'a number'} {limits}"
    if limits.holds(_as_float(number)):
        return ""
    shown = "a number of many digits" if isinstance(number, Integral) and abs(int(number)) > _LONG else str(number)
    if limits.beyond:
        return f"is {shown}; it is {_number(limits.low)} or more"
    return f"is {shown}; it lies {_from(limits)}"


_LONG = 10**30


def _as_float(number: Any) -> float:
    """The nearest there is: a whole number may have hundreds of digits."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _from(limits: Between) -> str:
    return str(limits) if limits.above else f"between {_number(limits.low)} and {_number(limits.high)}"


def _number(value: float) -> str:
    """1000000000 and not 1e+09."""
    return str(int(value)) if value == int(value) else f"{value:g}"
