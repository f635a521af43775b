import io
from typing import ClassVar

import torch

from pruning.exporters.exporter import Record


class Pt:
    """The state dict as torch.save writes it: a plain dict of CPU tensors, which `weights_only=True` loads."""

    file: ClassVar[str] = "model.pt"

    def content(self, record: Record) -> bytes:
        # cloned: a view would take the whole storage that it looks into along
        tensors = {name: t.detach().cpu().contiguous().clone() for name, t in record.model.state_dict().items()}
        buffer = io.BytesIO()
        torch.save(tensors, buffer)
        return buffer.getvalue()
