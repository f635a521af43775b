"""A progress bar that fits where it is shown: a terminal or a notebook."""

import warnings
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from typing import Any, TypeVar

Report = Callable[[float | None, str], None]
"""Shows how far the work is, in [0, 1] or None for no further than before, and what it is doing."""

_T = TypeVar("_T")


@contextmanager
def progress_bar(shown: bool) -> Generator[Report, None, None]:
    """Yield what shows the progress. Nothing is shown if it is not wanted, or where tqdm is not installed."""
    made = _tqdm() if shown else None
    if made is None:
        yield lambda _fraction, _phase: None
        return
    layout = "{desc} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}"
    with made(total=1.0, desc="starting", bar_format=layout, leave=False) as bar:

        def report(fraction: float | None, phase: str) -> None:
            bar.n = bar.n if fraction is None else min(fraction, 1.0)
            bar.set_description_str(phase, refresh=False)
            bar.refresh()

        yield report


def last_value(events: Generator[Any, None, _T], on_event: Callable[[Any], None] = lambda _: None) -> _T:
    """What the generator returns in the end; `on_event` is called with everything that it yields before."""
    with closing(events):
        while True:
            try:
                on_event(next(events))
            except StopIteration as end:
                return end.value


def _tqdm() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a notebook without widgets gets the bar of a terminal
            from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm
