import io
from collections import OrderedDict
from typing import Any, ClassVar

import torch
from torch import Tensor

from pruning.exporters.exporter import Record
from pruning.model.module_sizes import saved_tensors, to_metadata


class Pt:
    """The state dict as torch.save writes it: CPU tensors by name, which `weights_only=True` loads.

    Where units were removed, the `_metadata` that a state dict has besides says what sizes the modules have then.
    """

    file: ClassVar[str] = "model.pt"

    def content(self, record: Record) -> bytes:
        # cloned: a view would take the whole storage that it looks into along
        tensors: dict[str, Tensor] = {
            name: t.detach().cpu().contiguous().clone() for name, t in saved_tensors(record.model, record.sizes).items()
        }
        if metadata := to_metadata(record.sizes):
            found: Any = OrderedDict(tensors)  # a plain dict has no attributes
            found._metadata = OrderedDict({"": metadata})  # of the module without a name, the model itself
            tensors = found
        buffer = io.BytesIO()
        torch.save(tensors, buffer)
        return buffer.getvalue()
