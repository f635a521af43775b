"""What the store reads, also where this version cannot: what is damaged is said in its place, and the rest goes on."""

import json
from collections.abc import Collection
from dataclasses import fields
from typing import Any

import msgspec

from pruning.errors import PruningError
from pruning.events import Event, Warned, event_from_dict
from pruning.execution.store.records import UNREADABLE, RunRow

COLUMNS = (
    "id, recipe, session, state, sentence, created, started, finished, stop, title, pinned, "
    # until the present attempt has an event, the events are those of the one before (column `told`)
    "coalesce(nullif(told, 0), attempt), private, seconds, needs, carrier, ran"
)
THERE = "deleted IS NULL AND NOT gone"
"""Which of the runs that are `shown` are in the lists: not in the wastebasket, and not only kept for others."""
_FIELDS = [field.name for field in fields(RunRow)]


def row_of(values: tuple[Any, ...]) -> RunRow:
    """The run of these COLUMNS; where a value is not of its type, one that has failed and says so."""
    try:
        # SQLite has no booleans
        return msgspec.convert(dict(zip(_FIELDS, values, strict=True)), RunRow, strict=False)
    except msgspec.ValidationError as error:
        run, recipe, session = (_text(value) for value in values[:3])
        return RunRow(run, recipe, session, "failed", f"{UNREADABLE}: {error}", 0.0, None, None, False, "", False, 0)


def event_of(text: str | bytes) -> Event:
    """The event that was written as this JSON; where it cannot be read, a warning that says so."""
    try:
        fields = json.loads(text)
        if not isinstance(fields, dict):
            return Warned(f"an event of this run is {UNREADABLE}: it is no JSON object")
        return event_from_dict(fields)  # type: ignore[arg-type]
    except PruningError as error:
        return Warned(f"an event of this run is {UNREADABLE}: {error}")
    except (ValueError, TypeError, RecursionError):
        return Warned(f"an event of this run is {UNREADABLE}: it is no JSON")


def marks(values: Collection[object]) -> str:
    """A question mark for each of the values of a query."""
    return ", ".join("?" * len(values))


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
