"""Start the server of the page. Workers start first, so that the first page finds them ready."""

import socket
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamlit.web import bootstrap

from pruning.errors import PruningError
from pruning.interactive.queries import open_workload
from sample_models import MODELS
from views.shared.server import backend

APP = Path(__file__).with_name("app.py")
SETTINGS = Path(__file__).with_name("settings.toml")


def launch(port: int, headless: bool) -> None:
    """Serve the page until Ctrl-C. PruningError if the port is in use or no worker can start."""
    if not _free(port):
        raise PruningError(
            f"port {port} is in use; stop what uses it, or choose another: --port {port + 1} (make run PORT={port + 1})"
        )
    started = backend()
    started.call(open_workload, next(iter(MODELS)))  # the first page will ask for this
    options = {**settings(), "server.port": port, "server.headless": headless}
    bootstrap.load_config_options(options)
    bootstrap.run(str(APP), False, [], options)


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


def _free(port: int) -> bool:
    """Whether the port can be listened on, asked as the server will: a port in TIME_WAIT is free."""
    with socket.socket() as probe:
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
