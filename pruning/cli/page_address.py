"""Where a person wants the page to be."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PageAddress:
    """What `app` was given: the port and address to listen on, and the files of TLS."""

    port: int
    host: str
    certificate: Path | None
    key: Path | None
