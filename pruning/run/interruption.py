"""Ctrl-C, or the stop button of a notebook, asks a run to end with what there is; a second one ends it at once."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_interrupt(say: Callable[[], None]) -> Generator[Callable[[], bool], None, None]:
    """Yield a function that is true after an interrupt, which calls `say`; a second one raises KeyboardInterrupt.

    Python hands signals to the main thread alone: in another thread nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = False

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        say()

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
