"""How a script of a page waits: it ends at once when the page is to be drawn anew.

Streamlit would start the newer run of a page's script beside the older one, in the same state of the session, which
neither expects (`runner.fastReruns`, off in settings.toml). So a run that waits asks whether it shall end.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeVar

from streamlit.runtime.scriptrunner_utils.script_run_context import get_run_yield_check

from pruning.errors import JobError

Answer = TypeVar("Answer")

LOOK_S = 0.05


def waited(asked: Future[Answer], seconds: float) -> Answer:
    """The answer. JobError if there is none within so many seconds. What nobody waits for any more is taken back."""
    ends = time.monotonic() + seconds
    try:
        while True:
            try:
                return asked.result(LOOK_S)
            except FutureTimeout:
                if time.monotonic() >= ends:
                    raise JobError(
                        f"no answer within {seconds:.0f} s; choose a smaller model or another criterion"
                    ) from None
                end_if_drawn_anew()
    finally:
        asked.cancel()


def waited_until(known: Callable[[], Answer], enough: Callable[[Answer], bool], seconds: float) -> Answer:
    """What is known once it is enough, or when so many seconds are over."""
    ends = time.monotonic() + seconds
    while not enough(now := known()) and time.monotonic() < ends:
        end_if_drawn_anew()
        time.sleep(LOOK_S)
    return now


def end_if_drawn_anew() -> None:
    """Ends this run of the script, by an exception of Streamlit's, where another one waits for it."""
    check = get_run_yield_check()
    if check is not None:
        check()
