from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pruning.calibration import Calibration
from pruning.errors import RecipeError
from pruning.units import UnitGroup


@dataclass(frozen=True)
class Conductance:
    """Mean |conductance| of the unit: how much of the true class's logit flows through it (Captum's LayerConductance).

    (Dhamdhere et al. 2018, arXiv 1805.12233.) Scores [units]; spatial positions and coupled producers are added up.
    """

    steps: int = 8
    """Points on the path from a black image to the sample; each costs a forward and a backward pass."""
    samples: int = 256
    """Training samples looked at."""

    formula: ClassVar[str] = "mean |Σ ∫ ∂F/∂y · ∂y/∂x · (x − x₀)|"
    source: ClassVar[str] = "Dhamdhere 2018 (Captum)"
    cost: ClassVar[str] = "steps forward and backward passes over `samples` training samples, for each layer"
    fits: ClassVar[tuple[str, ...]] = ("channels",)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.samples < 1:
            raise RecipeError("criterion.steps and criterion.samples must be at least 1")

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        if not calibration.workload.task.classes:
            raise RecipeError("conductance follows the logit of a class, and this workload has no classes; use taylor")
        # captum runs all steps of a batch at once: the batch shrinks so that memory does not grow with the steps
        batch = max(1, 1024 // self.steps)
        few = Calibration(calibration.workload, calibration.device, calibration.seed, self.samples, batch)
        totals = {group.name: torch.zeros(group.units, device=calibration.device) for group in groups}
        seen = 0
        with torch.enable_grad():
            for inputs, targets in few.batches():
                if not inputs.is_floating_point():
                    raise RecipeError(
                        "conductance scales inputs towards zero, and this network takes whole numbers; use taylor"
                    )
                seen += len(inputs)
                for group in groups:
                    totals[group.name] += self._flow(model, group, inputs, targets)
        return {name: total / seen for name, total in totals.items()}

    def _flow(self, model: nn.Module, group: UnitGroup, inputs: Tensor, targets: Tensor) -> Tensor:
        """Σ over the batch of |conductance| of each unit [units]."""
        from captum.attr import LayerConductance  # brings matplotlib: half a second that no other criterion needs

        flow = torch.zeros(len(inputs), group.units, device=inputs.device)
        for piece in group.slices:
            if piece.param not in group.params or piece.dim != 0:
                continue
            module = model.get_submodule(piece.param.removesuffix(".weight"))
            values = LayerConductance(model, module).attribute(inputs, target=targets, n_steps=self.steps)
            assert isinstance(values, Tensor)  # one layer with one output gives one tensor
            features_last = values.detach() if isinstance(module, nn.Linear) else values.detach().movedim(1, -1)
            channels = features_last.reshape(len(inputs), -1, features_last.shape[-1]).sum(dim=1)
            flow += channels[:, piece.index.to(inputs.device)].sum(dim=2)
        return flow.abs().sum(dim=0)
