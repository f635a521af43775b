"""The component of the page Runs: the list of runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from views.shared.components import component_of

_runs = component_of(Path(__file__).parent, "runs")


def runs(data: dict[str, Any], on_pick: Callable[[], None]) -> None:
    """The list of runs. Its trigger lies in the session state under `runs_list`: `pick`, with all runs then selected."""
    _runs(key="runs_list", data=data, on_pick_change=on_pick)
