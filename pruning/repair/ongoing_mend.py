"""A repair that is carried on a little at a time: others use the dense network and the machine in between."""

import time
from collections.abc import Generator

from torch import nn

from pruning.model.copying import deep_copy
from pruning.model.memory import bytes_of
from pruning.model.units import Masks, apply_masks
from pruning.repair.mended import Mended, Mender
from pruning.sliced_work import SlicedWork

SLICE_S = 0.05


class OngoingMend:
    """A cut of a mender's dense network, and its repair as far as it has come. Left alone for long it begins anew."""

    def __init__(self, mender: Mender, masks: Masks) -> None:
        self._mender, self._masks = mender, masks
        self.bytes = 3 * bytes_of(mender.dense)
        """Of the cut network, what its repair keeps of it, and a dense one of its own."""
        self.seconds = 0.0
        """Of work so far."""
        self._work: SlicedWork[tuple[nn.Module, Mended]] | None = None

    @property
    def abandoned(self) -> bool:
        return self._work is not None and self._work.abandoned

    def give_up(self) -> None:
        """Let go of the copies."""
        if self._work is not None:
            self._work.give_up()
            self._work = None

    def advance(self, seconds: float) -> bool:
        """Go on for about so many seconds; whether it is done."""
        if self._work is None or self.abandoned:
            self._work, self.seconds = SlicedWork(self._mend), 0.0
        began = time.perf_counter()
        done = self._work.advance(seconds)
        self.seconds += time.perf_counter() - began
        return done

    def result(self) -> tuple[nn.Module, Mended]:
        """The repaired network and what the repair did, once it is done; raises what went wrong."""
        assert self._work is not None
        return self._work.result()

    def to_its_end(self) -> Generator[None, None, nn.Module]:
        """Yields between slices, and returns the repaired network."""
        while not self.advance(SLICE_S):
            yield
        model, _ = self.result()
        return model

    def _mend(self) -> tuple[nn.Module, Mended]:
        mender = self._mender.with_a_dense_of_its_own()  # a repair hooks into it, and rests with that
        model = deep_copy(mender.dense)
        apply_masks(model, self._masks)
        return model, mender.mend(model, self._masks)
