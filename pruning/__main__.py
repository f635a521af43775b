"""`python -m pruning`: the composition root of the command line, the one file here that may know the sample models."""

import io
import sys
from typing import TYPE_CHECKING

from pruning.cli.app import make_app

if TYPE_CHECKING:
    from pruning.cli.catalogue import Catalogue


def sample_models() -> "Catalogue":
    """Imported when a command needs it: torch comes with it."""
    from pruning.cli.catalogue import Catalogue
    from sample_models import MODELS, card

    return Catalogue(MODELS, card)


app = make_app(sample_models)


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without − or a thin space shows a ? and goes on
    app()


if __name__ == "__main__":
    main()
