from pathlib import Path
from typing import ClassVar

from pruning.exporters.exporter import Record
from pruning.model import narrow_layers


class NarrowLayersPy:
    """The classes of layers that torch cannot make as narrow as they are, as a file that needs nothing but torch."""

    file: ClassVar[str] = "narrow_layers.py"

    def content(self, record: Record) -> bytes:
        return Path(narrow_layers.__file__).read_bytes()
