import json
from typing import Any, ClassVar

from pruning.exporters.exporter import Record
from pruning.recipe.recipe import to_dict
from pruning.recipe.serialization import to_plain
from pruning.reporting.run_summary import amount_found
from pruning.selection.amounts import PerLayer
from pruning.selection.scopes import WithinLayer


class RecipeJson:
    """The recipe, indented for reading; `from_json` gives the same recipe back.

    What a search has found stands above it as a comment: its scope and amount make the same cut without a search.
    """

    file: ClassVar[str] = "recipe.json"

    def content(self, record: Record) -> bytes:
        plain = {**_found(record), **to_dict(record.recipe)}
        return (json.dumps(plain, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _found(record: Record) -> dict[str, Any]:
    found = amount_found(record.events)
    if found is None:
        return {}
    about = "A search found the amount below. In place of the recipe's scope and amount it makes the same cut at once."
    return {"//": about, "// found": {"scope": to_plain(WithinLayer()), "amount": to_plain(PerLayer(found.shares))}}
