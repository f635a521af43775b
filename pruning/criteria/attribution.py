from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pruning.errors import RecipeError
from pruning.model.layer_types import WITH_CHANNELS
from pruning.model.passes import Passes
from pruning.options.constraints import Between, check

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.criteria.layer_attribution import Attribute
    from pruning.model.units import UnitGroup

Method = Literal[
    "conductance", "integrated_gradients", "deep_lift", "gradient_x_activation", "grad_cam", "internal_influence"
]

WITHOUT_BASELINE = ("gradient_x_activation", "grad_cam")
"""Methods that look at the sample alone and not at a path to it from an input of zeros."""


@dataclass(frozen=True)
class Attribution:
    """How much of the true class's logit is put down to the unit: mean |attribution|, by one of six methods of Captum.

    conductance: Dhamdhere et al. 2018, arXiv 1805.12233. integrated_gradients: Sundararajan et al. 2017, arXiv
    1703.01365. deep_lift: Shrikumar et al. 2017, arXiv 1704.02685. gradient_x_activation: Shrikumar et al. 2016, arXiv
    1605.01713. grad_cam: Selvaraju et al. 2016, arXiv 1610.02391, without its last ReLU. internal_influence: Leino et
    al. 2018, arXiv 1802.03788. All look at the output of the layer itself, before its norm. Scores [units]: positions
    and coupled layers are added up, then the size is averaged over samples.

    deep_lift sees only activations that are modules (nn.ReLU, not F.relu) and used once: behind F.relu it is pruned
    back, without a word from Captum, to the plain gradient there; a module used twice is refused. grad_cam averages
    gradients over positions and takes a Linear's output over a sequence for positions: refused too. Costs, for each
    layer and over `samples` samples: `steps` forward and backward passes for internal_influence, one more of both for
    conductance, two more forward for integrated_gradients; one of twice the size for deep_lift, one for the other two.
    """

    method: Method = "conductance"
    """conductance: what flows through the unit on the way from an empty input to the sample; integrated_gradients: its
    output times the gradient averaged on the way from its output for an empty input; deep_lift: the difference to an
    empty input, shared out by differences instead of gradients; gradient_x_activation: output times gradient; grad_cam:
    output times gradient averaged over the positions; internal_influence: the gradient alone, averaged on the way."""
    steps: Annotated[int, Between(1, 512)] = 8
    """Points on the path from an empty (black) input to the sample; each costs a forward and a backward pass, and
    conductance takes one more, integrated_gradients two. Only these two and internal_influence walk a path."""
    samples: Annotated[int, Between(1, 10000)] = 256
    """Training samples looked at."""

    formula: ClassVar[str] = "mean |Σ attribution of the true class|"
    source: ClassVar[str] = "Captum: Dhamdhere 2018, Sundararajan 2017, Shrikumar 2017, Selvaraju 2016, Leino 2018"
    cost: ClassVar[str] = (
        "1 to `steps` + 2 forward and 1 to `steps` + 1 backward passes over `samples` training samples, for each layer"
    )
    fits: ClassVar[tuple[str, ...]] = ("channels",)
    layers: ClassVar[tuple[str, ...]] = WITH_CHANNELS

    def __post_init__(self) -> None:
        check(self, "criterion")

    def passes(self, groups: Sequence[UnitGroup], train_samples: int) -> Passes:
        samples = min(self.samples, train_samples)
        layers = sum(len(group.ranked) for group in groups)
        return self._passes_of_a_layer().times(samples * layers)

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        import torch

        from pruning.criteria.calibration import Calibration
        from pruning.criteria.layer_attribution import network_for_captum, unit_sizes

        if not calibration.workload.task.classes:
            raise RecipeError("attribution follows the logit of a class, and this workload has no classes; use taylor")
        # captum runs all steps of a batch at once: the batch shrinks so that memory does not grow with the steps
        batch = max(1, 1024 // self.steps)
        few = Calibration(calibration.workload, calibration.device, calibration.seed, self.samples, batch)
        network = network_for_captum(model)
        attribute = self._captum_method(network)
        totals = {group.name: torch.zeros(group.units, device=calibration.device) for group in groups}
        seen = 0
        for inputs, targets in few.batches():
            if not inputs.is_floating_point() and self.method not in WITHOUT_BASELINE:
                raise RecipeError(
                    f"attribution by {self.method} scales inputs towards zero, and this network takes whole "
                    f"numbers; use method {' or '.join(WITHOUT_BASELINE)}, or criterion taylor"
                )
            seen += len(inputs)
            for group in groups:
                totals[group.name] += unit_sizes(network, group, inputs, targets, self.method, attribute)
        return {name: total / seen for name, total in totals.items()}

    def _passes_of_a_layer(self) -> Passes:
        match self.method:
            case "conductance":
                return Passes(self.steps + 1, self.steps + 1)
            case "integrated_gradients":
                return Passes(self.steps + 2, self.steps)
            case "internal_influence":
                return Passes(self.steps, self.steps)
            case "deep_lift":
                return Passes(2, 2)
            case "gradient_x_activation" | "grad_cam":
                return Passes(1, 1)

    def _captum_method(self, model: nn.Module) -> Attribute:
        try:  # here and not above: captum is optional, and brings matplotlib, half a second that no other needs
            from captum import attr
        except ModuleNotFoundError as error:
            raise RecipeError(
                "criterion attribution needs Captum, which is not installed: "
                "`pip install 'pruning-explorer[attribution]'`, or choose criterion taylor"
            ) from error
        match self.method:
            case "conductance":
                path = attr.LayerConductance
            case "integrated_gradients":
                path = attr.LayerIntegratedGradients
            case "internal_influence":
                path = attr.InternalInfluence
            case "deep_lift":
                return lambda layer, x, y: attr.LayerDeepLift(model, layer).attribute(x, target=y)
            case "gradient_x_activation":
                return lambda layer, x, y: attr.LayerGradientXActivation(model, layer).attribute(x, target=y)
            case "grad_cam":
                return lambda layer, x, y: attr.LayerGradCam(model, layer).attribute(
                    x, target=y, attr_dim_summation=False, relu_attributions=False
                )
        return lambda layer, x, y: path(model, layer).attribute(x, target=y, n_steps=self.steps)
