"""What every repair is: it puts a cut network right, without labels and without the task's loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.passes import Passes
    from pruning.model.units import Masks


@dataclass(frozen=True, eq=False)
class Cut:
    """A network some of whose units have just been set to zero.

    Attributes:
        model: The cut network in evaluation mode. A repair changes its parameters and buffers in place.
        dense: The network before the cut, in evaluation mode, on the same device. Nobody changes it.
        masks: Parameter name -> bool of its shape, True where a value stays. What is pruned stays 0.
    """

    model: nn.Module
    dense: nn.Module
    masks: Masks


class Repair(Protocol):
    """Makes what a cut network computes like what it computed before.

    `formula`, `source` and `cost` are shown beside the choice. `samples` says on how many inputs it looks.
    """

    formula: ClassVar[str]
    source: ClassVar[str]
    cost: ClassVar[str]

    @property
    def samples(self) -> int: ...

    def passes(self, train_samples: int) -> Passes:
        """About what mending a cut asks of the network, where the training split has so many samples; without the
        systems of equations that are solved.
        """
        ...

    def mend(self, cut: Cut, inputs: Tensor, seed: int) -> Mapping[str, str]:
        """Change the cut network in place, looking at inputs [n, *input].

        Returns:
            Layer name -> a sentence why it was left as it is; without the layers that were mended.
        """
        ...
