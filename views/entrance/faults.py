"""What happens when a page's script fails: a sentence on the page, a line in the log, and the details in a file, once.

A message can make any control have any value, so that a script fails for whoever sends it. That must not fill the log.
"""

import logging
import threading
import traceback
from pathlib import Path

import streamlit as st

from pruning.errors import PruningError, describe, printable
from views.entrance.frames import Pace
from views.shared.language import _
from views.shared.plain_text import plain

FILE = "page-faults.log"
FROM_MESSAGES = (
    "streamlit.components.v2.bidi_component.serialization",
    "streamlit.components.v2.presentation",
    "streamlit.error_util",
    "streamlit.runtime.app_session",
    "streamlit.runtime.fragment",
    "streamlit.runtime.scriptrunner.script_runner",
    "streamlit.runtime.websocket_session_manager",
    "streamlit.web.server.starlette.starlette_websocket",
    "views.entrance.frames",
)
"""Who writes into the log what a browser's messages bring about."""
LONGEST = 500
MOST = 100
"""So many different ones are described in the file from one start of the server to the next."""

log = logging.getLogger(__name__)


class Faults:
    """Streamlit's `on_script_error`."""

    def __init__(self, home: Path) -> None:
        self._file = home / FILE
        self._known: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def __call__(self, error: Exception) -> bool:
        """Tell the person and whoever runs the server. True: nothing more is to be shown."""
        if isinstance(error, PruningError):
            st.error(plain(error))
            return True
        st.error(_("This page could not be drawn. Load it again; the server has noted what happened."))
        place = _place(error)
        if self._is_new(type(error).__name__, place):
            log.error("a page failed with %s (%s); %s has the details", printable(describe(error)), place, self._file)
            self._describe(error)
        return True

    def _is_new(self, kind: str, place: str) -> bool:
        with self._lock:
            new = (kind, place) not in self._known and len(self._known) < MOST
            if new:
                self._known.add((kind, place))
            return new

    def _describe(self, error: Exception) -> None:
        try:
            with self._file.open("a", encoding="utf-8", errors="replace") as file:
                file.write("".join(traceback.format_exception(error)) + "\n")
        except OSError as why:
            log.error("%s cannot be written: %s", self._file, why.strerror)


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "no place"


class OneLine(logging.Filter):
    """Of what messages bring about, a line without a traceback, and not more of them than somebody can read."""

    def __init__(self) -> None:
        super().__init__()
        self._pace = Pace(at_once=50, a_second=0.05)

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg == "Uncaught app execution":  # said by Faults
            return False
        said = record.getMessage()
        if record.exc_info and (error := record.exc_info[1]) is not None:
            said = f"{said}: {describe(error)}"
            record.exc_info = record.exc_text = None
        record.msg, record.args = printable(said, LONGEST), ()
        return self._pace.takes()


def keep_the_log_short() -> None:
    """Whoever sends nonsense shall not fill the log."""
    kept_short = OneLine()
    for name in FROM_MESSAGES:
        logger = logging.getLogger(name)
        if not any(isinstance(each, OneLine) for each in logger.filters):
            logger.addFilter(kept_short)
