"""Links and names that somebody made up: recipes with something else in them, and names that are more than names."""

import copy
import json
import random
from collections.abc import Mapping
from typing import Any

from pruning.errors import PruningError
from pruning.files.shown import LONGEST, shown
from pruning.recipe.catalog import CHOICES
from pruning.recipe.recipe import Recipe, from_json, to_json
from sample_models import MODELS

_ODD: tuple[Any, ...] = (
    None, True, -1, 0, 10**400, 1e308, -0.0, "", "\x1b[2J", "\u202e", "[link](http://x)", "a" * 10**5, [], [[]], {},
    {"kind": 3}, {"kind": "magnitude", "p": []}, "__class__", {"": ""}, "NaN", [None] * 100, {"kind": "os.system"},
)  # fmt: skip


def link(chance: random.Random) -> str:
    """The JSON of a recipe with up to four things wrong in it."""
    plain: Any = json.loads(to_json(Recipe(chance.choice(list(MODELS)))))
    for choices in chance.sample(list(CHOICES), min(2, len(CHOICES))):
        if choices in plain and isinstance(plain[choices], dict):
            plain[choices] = {"kind": chance.choice(list(CHOICES[choices].rows))}
    for _ in range(chance.randint(1, 4)):
        _change(chance, plain)
    text = json.dumps(plain)
    if chance.random() < 0.2:
        at = chance.randrange(len(text))
        text = (
            text[:at] + chance.choice(("", "NaN", "\x00", '"', "{", "]", "[" * 10**4, "\ud800", "9" * 5000)) + text[at:]
        )
    return text


def _change(chance: random.Random, plain: dict[str, Any]) -> None:
    inner = [plain, *(value for value in plain.values() if isinstance(value, Mapping))]
    where: Any = chance.choice(inner)
    key = chance.choice([*where, chance.choice(("//", "__dict__", "\x1b[2J", "kind", ""))]) if where else "kind"
    if chance.random() < 0.2:
        where.pop(key, None)
    else:
        where[key] = copy.deepcopy(chance.choice(_ODD))


def fault_of_link(text: str) -> str:
    """What is wrong with how the link is read; empty where it is a recipe or one sentence."""
    try:
        from_json(text)
    except PruningError as error:
        return "" if "\n" not in str(error) else "a sentence of several lines"
    except Exception as error:  # what is looked for
        return type(error).__name__
    return ""


def name(chance: random.Random) -> str:
    """A name of a tensor, a file or a layer."""
    pieces = (
        "fc1",
        ".",
        "\x1b[31m",
        "\u202e",
        "\ud800",
        "\n",
        "\r",
        "\0",
        "<b>",
        "](http://x)",
        "é",
        "x" * 10**4,
        "\u2028",
    )
    return "".join(chance.choice(pieces) for _ in range(chance.randint(0, 8))) + chr(chance.randrange(0x110000))


def fault_of_name(made: str) -> str:
    """What is wrong with how it is shown; empty where it is a short text that steers nothing."""
    try:
        text = shown(made)
    except Exception as error:  # what is looked for
        return type(error).__name__
    return "" if text.isprintable() and 0 < len(text) <= LONGEST else "shown as more than text"
