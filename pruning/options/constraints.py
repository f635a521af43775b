"""What values the fields of a choice take: said once in the annotation, used by checks, JSON, forms and help."""

from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pruning.errors import RecipeError


@dataclass(frozen=True)
class Between:
    """Numbers from `low` to `high`, both included unless `above`: then they lie above `low`.

    A slider moves by `step`.
    """

    low: float
    high: float
    step: float | None = None
    above: bool = False

    def holds(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value <= self.high  # NaN fails too

    def __str__(self) -> str:
        low, high = _number(self.low), _number(self.high)
        return f"above {low} and at most {high}" if self.above else f"from {low} to {high}"


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


def _parts(hint: Any) -> list[Any]:
    """The annotations of a type and of what it is made of."""
    inner = [part for argument in get_args(hint) for part in _parts(argument)] if get_origin(hint) else []
    return [*getattr(hint, "__metadata__", ()), *inner]


def check(choice: Any, where: str) -> None:
    """RecipeError that names the first field whose number is out of its range, e.g. `amount.share`."""
    limits = ranges(type(choice))
    for f in fields(choice):
        if f.name not in limits:
            continue
        value: Any = getattr(choice, f.name)
        values = value.items() if hasattr(value, "items") else [("", value)]
        for key, number in values:
            if number is not None and not limits[f.name].holds(number):
                place = f"{where}.{f.name}.{key}" if key else f"{where}.{f.name}"
                raise RecipeError(f"{place} is {number}; it lies {_from(limits[f.name])}")


def _from(limits: Between) -> str:
    return str(limits) if limits.above else f"between {_number(limits.low)} and {_number(limits.high)}"


def _number(value: float) -> str:
    """1000000000 and not 1e+09."""
    return str(int(value)) if value == int(value) else f"{value:g}"
