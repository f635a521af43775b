"""The gzip size of a network's file, found a little at a time: a large file takes seconds, and others wait."""

from torch import nn

from pruning.model.costs import gzip_size, model_file
from pruning.model.memory import bytes_of
from pruning.model.module_sizes import ModuleSizes
from pruning.sliced_work import SlicedWork


class OngoingPacking:
    """The file of a network that stays as it is, packed as far as it has been. Left alone for long it begins anew."""

    def __init__(self, model: nn.Module, sizes: ModuleSizes) -> None:
        self.bytes = bytes_of(model)
        """Of the file."""
        self._work = SlicedWork(lambda: gzip_size(model_file(model, sizes)))

    @property
    def abandoned(self) -> bool:
        return self._work.abandoned

    def give_up(self) -> None:
        """Let go of the file."""
        self._work.give_up()

    def advance(self, seconds: float) -> int | None:
        """Go on for about so many seconds: the size, once it is known."""
        return self._work.result() if self._work.advance(seconds) else None
