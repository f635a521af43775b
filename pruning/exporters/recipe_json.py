import json
from typing import ClassVar

from pruning.exporters.exporter import Record
from pruning.recipe.recipe import to_dict


class RecipeJson:
    """The recipe, indented for reading; `from_json` gives the same recipe back."""

    file: ClassVar[str] = "recipe.json"

    def content(self, record: Record) -> bytes:
        return (json.dumps(to_dict(record.recipe), indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()
