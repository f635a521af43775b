"""`pruning-explorer`, or `python -m pruning`: the composition root of the command line.

The one file of this package that may know the sample models and the page.
"""

import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from pruning.cli.catalogue import Catalogue
    from pruning.cli.page_address import PageAddress

EXTRAS = {
    "typer": "app",
    "rich": "app",
    "streamlit": "app",
    "plotly": "app",
    "pandas": "app",
    "matplotlib": "app",
    "pyarrow": "app",
    "jinja2": "app",
    "captum": "attribution",
}
"""Import name of a package that not every installation has -> the extra that brings it."""


def sample_models() -> "Catalogue":
    """Imported when a command needs it: torch comes with it."""
    from pruning.cli.catalogue import Catalogue
    from pruning.exporters.workload_source import Called
    from sample_models import MODELS, card

    return Catalogue(MODELS, card, lambda name: Called("sample_models", "workload", (name,)))


def start_page(address: "PageAddress", headless: bool, window: bool) -> None:
    """Imported when a command needs it: Streamlit comes with it."""
    if window:
        from views.window import open_window

        open_window(address)
    else:
        from views.entrance.access import access_from
        from views.launch import launch

        access = access_from(host=address.host, certificate=address.certificate, key=address.key)
        launch(address.port, headless, access)


def command_line() -> "typer.Typer":
    """All commands."""
    from pruning.cli.app import make_app

    return make_app(sample_models, start_page)


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out a command; those of the command line if none are given."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without − or a thin space shows a ? and goes on
    try:
        command_line()(arguments)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        print(
            f"error: this command needs {package}, which is not installed; "
            f"run pip install 'pruning-explorer[{EXTRAS[package]}]'",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
