"""How a halving's settings are called, and how they stand."""

from typing import Any

from pruning.halving.result import Entry
from pruning.recipe.serialization import short


def values_words(entry: Entry) -> str:
    """The values of the varied fields, such as `criterion taylor, schedule until`.

    Examples:
        >>> values_words(Entry(0, {"criterion": {"kind": "taylor"}, "amount.share": 0.5}))
        'criterion taylor, amount.share 0.5'
    """
    return ", ".join(f"{path} {_value(value)}" for path, value in entry.values.items())


def _value(value: Any) -> str:
    """A choice by its kind, with what differs from nothing else; other values as they are."""
    if isinstance(value, dict) and "kind" in value:
        rest = {name: each for name, each in value.items() if name != "kind"}  # type: ignore[misc]
        kind = str(value["kind"]).replace("_", " ")  # type: ignore[arg-type]
        return f"{kind} ({short(rest)})" if rest else kind
    return str(short(value))


def standing_words(entry: Entry) -> str:
    """Whether it goes on, why it does not."""
    if entry.state == "failed":
        return f"failed: {entry.sentence}"
    return entry.state
