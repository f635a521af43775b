"""What every criterion is, and the one call that the rest of the library makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from pruning.errors import WorkloadError
from pruning.model.layer_types import has_channels, is_a

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.model.units import UnitGroup

ANY = ("any",)
"""What `fits` and `layers` say of a criterion that gives every single weight a value: units of any kind add up what
they own, and it does not matter how a layer computes with its weights."""


class Criterion(Protocol):
    """Scores units: float32, higher = keep. The model comes back bitwise as it was.

    `formula`, `source` and `cost` are shown beside the choice. `fits` names the granularities whose units it can score,
    or is ANY; `layers` are the types of torch's layers that it can score, or ANY; all others stay whole.
    """

    formula: ClassVar[str]
    source: ClassVar[str]
    cost: ClassVar[str]
    fits: ClassVar[tuple[str, ...]]
    layers: ClassVar[tuple[str, ...]]

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        """Group name -> scores [units], on any device."""
        ...


@runtime_checkable
class LeavesOut(Protocol):
    """A criterion that also leaves out some groups of layers whose type it knows: those then stay whole."""

    def why_not(self, model: nn.Module, group: UnitGroup) -> str:
        """A sentence that says why it cannot score the group and what to choose; empty where it can."""
        ...


def scores_weight(criterion: Criterion, layer: nn.Module, word: str) -> bool:
    """Whether the criterion can score a weight matrix of the layer, by the word that the layer has for it."""
    if criterion.layers == ANY:
        return True
    # what a subclass of Linear holds beside its weight is used in a way that only its author knows
    return is_a(layer, criterion.layers) and (word == "weight" or not has_channels(layer))


def unit_scores(
    criterion: Criterion, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration
) -> dict[str, Tensor]:
    """Group name -> float32 scores [units] on the CPU. WorkloadError names the layer whose scores are not finite."""
    import torch

    from pruning.model.patching import evaluating

    with evaluating(model):
        scores = criterion.score(model, groups, calibration)
    for name, values in scores.items():
        if not bool(torch.isfinite(values).all()):
            raise WorkloadError(
                f"{name}: {type(criterion).__name__.lower()} gave scores that are NaN or infinite; "
                "choose another criterion, or check the model's weights and data"
            )
    return {name: values.detach().float().cpu() for name, values in scores.items()}
