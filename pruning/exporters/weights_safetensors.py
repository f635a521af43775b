from typing import ClassVar

from pruning.exporters.exporter import Record
from pruning.model.costs import file_bytes


class Safetensors:
    """The state dict as .safetensors: the very bytes that a stage's `bytes` counts. Equal weights give equal files."""

    file: ClassVar[str] = "model.safetensors"

    def content(self, record: Record) -> bytes:
        return file_bytes(record.model.state_dict())
