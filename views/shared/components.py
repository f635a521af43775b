"""How a component of our own is made from the styles and the script that lie beside its page.

A component draws in the browser from plain numbers. What it is given is data: texts are set as text, never as markup.
"""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from streamlit.components.v2 import component

from pruning.reporting import palette

_Data = TypeVar("_Data")


def component_of(folder: Path, name: str) -> Callable[..., Any]:
    """The component `name`, made of `name.css` and `name.js` in the folder; its styles know the palette's variables, its
    script what `elements.js` declares.
    """
    css, js = ((folder / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    elements = Path(__file__).with_name("elements.js").read_text(encoding="utf-8")
    return component(f"pruning_{name}", css=f":host {{ {palette.CSS} }}\n{css}", js=f"{elements}\n{js}")


def in_a_list(data: _Data) -> list[_Data]:
    """The data as a component is given it: its script takes it out of the list again.

    In a mapping Streamlit looks for tables, and imports pandas and pyarrow to do so: 70 MB in the server's process.
    """
    return [data]


def received(value: object, kind: "type[_Data]") -> "_Data | None":
    """What a component sent, if it is of the declared shape; None where it is not: a script of one's own sends anything."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None


def packed(array: Any) -> str:
    """An array's bytes as base64 text: a fraction of the size and time of a list of numbers."""
    return base64.b64encode(array.tobytes()).decode("ascii")
