"""What the commands share: where they write, how they end badly, and the device they work on."""

import sys
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from pruning.cli.faults import fault
from pruning.errors import PruningError, printable
from pruning.events import Stage
from pruning.metric import Metric
from pruning.reporting.run_summary import STAGES, stage_rows

if TYPE_CHECKING:
    import torch

BAD_INPUT = 2


@contextmanager
def sentences() -> Generator[None, None, None]:
    """What went wrong is one sentence on stderr and exit code 2, never a traceback; a warning is a sentence too."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _say
            yield
    except PruningError as error:
        fail(str(error))
    except (typer.Exit, typer.Abort, typer.BadParameter, ModuleNotFoundError):  # ends of its own, and what main() says
        raise
    except Exception as error:
        fail(fault(error))


def _say(message: Warning | str, *_where: object) -> None:
    print(f"warning: {for_terminal(str(message))}", file=sys.stderr)


def for_terminal(text: str) -> str:
    """Text with names from files: a terminal does what control characters say, so they are written as signs."""
    return "\n".join(map(printable, text.split("\n")))


def fail(sentence: str) -> NoReturn:
    print(f"error: {for_terminal(sentence)}", file=sys.stderr)
    raise typer.Exit(BAD_INPUT)


def device_of(text: str | None) -> "torch.device":
    """The device that was asked for, else the machine's accelerator or the CPU. PruningError if it is not there."""
    import torch

    from pruning.model.devices import default_device

    if text is None:
        return default_device()
    try:
        device = torch.device(text)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise PruningError(f"device is {text!r}, which this machine does not have; use cpu") from error
    return device


def table(*heads: str, left: int = 1) -> Table:
    """An empty table; all but the first `left` columns are numbers and right-aligned."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for position, head in enumerate(heads):
        made.add_column(head, justify="left" if position < left else "right")
    return made


def progress_bar(screen: Console) -> Progress:
    """A line that is gone in the end; its tasks have the field `left`. Nothing where nobody looks at a terminal."""
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[left]}")
    return Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal)


def print_stages(stages: Mapping[str, Stage], metric: Metric, to: Console) -> None:
    """The stages side by side, with their change against dense."""
    made = table("", *(name for name in STAGES if name in stages))
    for row in stage_rows(stages, metric):
        made.add_row(
            row.label, *(f"{cell.text}\n[dim]{cell.change}[/dim]" if cell.change else cell.text for cell in row.cells)
        )
    to.print(made)
