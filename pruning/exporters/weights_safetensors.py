from typing import ClassVar

from pruning.exporters.exporter import Record
from pruning.model.costs import model_file


class Safetensors:
    """The state dict as .safetensors: the very bytes that a stage's `bytes` counts. Equal weights give equal files.

    Where units were removed, its metadata says what sizes the modules have then: `pruning.model.module_sizes`.
    """

    file: ClassVar[str] = "model.safetensors"

    def content(self, record: Record) -> bytes:
        return model_file(record.model, record.sizes)
