"""Carrying out a repair, and taking it back where it has not helped."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from pruning.model.copying import deep_copy
from pruning.model.devices import repeatable
from pruning.model.memory import bytes_of
from pruning.model.patching import evaluating
from pruning.model.units import Masks
from pruning.repair.layer_by_layer import BATCH, precise, samples_that_fit
from pruning.repair.repair import Cut, Repair
from pruning.sliced_work import rest, working_s
from pruning.workload import Workload

HELD_OUT = 1024
"""Further training inputs, on which it is looked at whether the repair has helped."""


@dataclass(frozen=True)
class Mended:
    """What a repair did.

    Attributes:
        before: How far the cut network's outputs lay from the dense network's: mean square, as a share of their
            variance, on inputs that the repair has not seen.
        after: The same after the repair.
        helped: Whether it came nearer. If not, the network is as the cut left it.
        seconds: What it took.
        left: Layer -> why it was left as it is; "" stands for the whole network.
    """

    before: float
    after: float
    helped: bool
    seconds: float
    left: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Likeness:
    """How much a network's outputs are like the dense network's, on the same inputs.

    Attributes:
        distance: The mean square of their difference, as a share of the variance of the dense network's.
        answers: The share of inputs for which both hold the same class to be likeliest; None where outputs are no
            scores of classes.
        samples: How many inputs.
    """

    distance: float
    answers: float | None
    samples: int = HELD_OUT

    def nearer_than(self, other: Likeness) -> bool:
        """Whether the distance is smaller and no answer was lost for it: outputs that all shrink to their mean come
        nearer too. Of a network with less than half of the answers, so many must be won that it is not by luck.
        """
        if self.answers is None or other.answers is None:
            return self.distance < other.distance
        # two standard errors of a difference of two shares
        luck = 2 * math.sqrt(2 * other.answers * (1 - other.answers) / self.samples) if other.answers < 0.5 else 0.0
        return self.distance < other.distance and self.answers >= other.answers + luck


class Mender:
    """Repairs cuts of one dense network, all on the same training inputs by lot; their labels are not looked at."""

    def __init__(self, repair: Repair, dense: nn.Module, workload: Workload, device: torch.device, seed: int) -> None:
        self.dense = dense
        self._repair, self._seed = repair, seed
        train = workload.train
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
        example = workload.example.to(device)
        few = samples_that_fit(dense, example, HELD_OUT, memory=2**28)  # whose outputs are kept
        unseen = order[: min(few, max(1, len(order) // 5))]
        self._held_out = train.batch(unseen, device)[0]
        fit = samples_that_fit(dense, example, repair.samples)
        self._looked_at = train.batch(order[len(unseen) : len(unseen) + fit], device)[0]
        self._wanted = _outputs(dense, self._held_out)
        self._classes = len(workload.task.classes)

    def with_a_dense_of_its_own(self) -> Mender:
        """The same mender, on the same inputs, with a copy of the dense network."""
        apart = copy.copy(self)
        apart.dense = deep_copy(self.dense)
        return apart

    @property
    def most_bytes(self) -> int:
        """Of memory: the inputs, and what the dense network gives for those held out."""
        return sum(bytes_of(tensor) for tensor in (self._held_out, self._looked_at, self._wanted))

    def mend(self, model: nn.Module, masks: Masks) -> Mended:
        """Repair the cut network in place, in evaluation mode.

        It is as the cut left it where that makes it no more like the dense network, on inputs that the repair has not
        seen.
        """
        begun = working_s()
        kept = {name: tensor.detach().clone() for name, tensor in _tensors(model).items()}
        before = self.likeness(model)
        with evaluating(model), evaluating(self.dense), repeatable():
            left = self._repair.mend(Cut(model, self.dense, masks), self._looked_at, self._seed)
        after = self.likeness(model)
        helped = after.nearer_than(before)
        if not helped:
            with torch.no_grad():
                for name, tensor in _tensors(model).items():
                    tensor.copy_(kept[name])
        return Mended(before.distance, after.distance, helped, working_s() - begun, left)

    def likeness(self, model: nn.Module) -> Likeness:
        """How like the dense network it is, on inputs that no repair has seen."""
        found, wanted = _outputs(model, self._held_out), self._wanted
        if self._classes < 2 or wanted.shape[1:] != (self._classes,):
            return Likeness(_distance(found, wanted), None, len(wanted))
        same = (found.argmax(dim=1) == wanted.argmax(dim=1)).double().mean()
        return Likeness(_distance(found, wanted), float(same), len(wanted))


def mended(repair: Repair, cut: Cut, workload: Workload, device: torch.device, seed: int) -> Mended:
    """Repair one cut network in place, as a `Mender` does; the seconds count what that takes to begin."""
    begun = time.perf_counter()
    done = Mender(repair, cut.dense, workload, device, seed).mend(cut.model, cut.masks)
    return replace(done, seconds=time.perf_counter() - begun)


def distance(model: nn.Module, dense: nn.Module, inputs: Tensor) -> float:
    """The mean square of the difference of their outputs, as a share of the variance of the dense network's."""
    return _distance(_outputs(model, inputs), _outputs(dense, inputs))


@torch.no_grad()
def _outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    given: list[Tensor] = []
    with evaluating(model):
        for batch in inputs.split(BATCH):
            given.append(model(batch))
            rest()
    return precise(torch.cat(given))


def _distance(found: Tensor, wanted: Tensor) -> float:
    finite = wanted.isfinite()
    spread = float(wanted[finite].var().clamp(min=1e-30))
    return float((found - wanted)[finite].square().mean()) / spread


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
