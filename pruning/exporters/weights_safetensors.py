from typing import ClassVar

from pruning.costs import file_bytes
from pruning.exporters.exporter import Record


class Safetensors:
    """The state dict as .safetensors: the very bytes that a stage's `bytes` counts. Equal weights give equal files."""

    file: ClassVar[str] = "model.safetensors"

    def content(self, record: Record) -> bytes:
        return file_bytes(record.model.state_dict())
