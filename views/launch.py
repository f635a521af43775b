"""Start the server of the page. Workers start first, so that the first page finds them ready."""

import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pruning.interactive.queries import open_workload
from sample_models import MODELS
from views.entrance import serving
from views.entrance.access import Access, hide
from views.entrance.announcement import announcement, own_address
from views.shared.server import backend, open_all

APP = Path(__file__).with_name("app.py")
# the thread that speaks with all browsers gives the interpreter away at every message: with five milliseconds, Python's
# own, sixty busy pages kept it from answering for ten seconds
SWITCH_S = 0.0005
SETTINGS = Path(__file__).with_name("settings.toml")


def launch(port: int, headless: bool, access: Access) -> None:
    """Serve the page until Ctrl-C. PruningError if the port is in use or no worker can start."""
    with serving.taken(access.host, port) as listening:
        hide()
        sys.setswitchinterval(SWITCH_S)
        started, first = backend(), next(iter(MODELS))
        opening = started.call(open_workload, first)  # the first page will ask for this
        if headless:  # no browser opens by itself: there is time for all models before a class comes
            opening.add_done_callback(lambda _: open_all(first))
        serving.load({**settings(), "server.port": port, "server.address": access.host, "server.headless": headless})
        shown = "" if headless else own_address(access, port)
        app = serving.application(APP, access, started.store.home, shown)
        print(announcement(access, port), flush=True)
        serving.serve(app, listening, access)


def settings() -> dict[str, Any]:
    """Streamlit's options of this page, by their full names.

    They lie beside the page and are passed to Streamlit, which by itself looks in the working directory only: so they
    hold wherever the package is installed.
    """
    return _full_names(tomllib.loads(SETTINGS.read_text(encoding="utf-8")))


def _full_names(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"theme": {"font": "serif"}}` as `{"theme.font": "serif"}`."""
    options: dict[str, Any] = {}
    for key, value in section.items():
        options |= _full_names(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return options
