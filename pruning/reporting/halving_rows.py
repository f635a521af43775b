"""How a halving's settings are called, and how they stand."""

from typing import Any, cast

from pruning.halving.result import Entry
from pruning.recipe.catalog import CHOICES
from pruning.recipe.serialization import short, to_plain


def values_words(entry: Entry) -> str:
    """The values of the varied fields, such as `criterion taylor, schedule until`.

    Examples:
        >>> values_words(Entry(0, {"criterion": {"kind": "magnitude", "p": 2}, "amount.share": 0.5}))
        'criterion magnitude (p 2), amount.share 0.5'
    """
    return ", ".join(f"{path} {_value(path, value)}" for path, value in entry.values.items())


def _value(path: str, value: Any) -> str:
    """A choice by its kind, with those of its fields that are not as they are by default; other values as they are."""
    if not isinstance(value, dict) or "kind" not in value:
        return str(short(value))
    given = cast(dict[str, Any], value)
    row = CHOICES[path].rows.get(given["kind"]) if path in CHOICES else None
    usual = to_plain(row()) if row is not None else {}
    fields = [f"{name} {short(each)}" for name, each in given.items() if name != "kind" and usual.get(name) != each]
    kind = str(given["kind"]).replace("_", " ")
    return f"{kind} ({', '.join(fields)})" if fields else kind


def standing_words(entry: Entry, is_open: bool) -> str:
    """Whether it goes on, and why it does not. `is_open`: the halving goes on."""
    if entry.state == "failed":
        return f"failed: {entry.sentence}"
    return "not over" if entry.state == "going on" and not is_open else entry.state
