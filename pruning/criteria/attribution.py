import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from pruning.criteria.calibration import Calibration
from pruning.errors import PruningError, RecipeError, WorkloadError
from pruning.model.layer_table import WITH_CHANNELS
from pruning.model.preparation import describe
from pruning.model.units import Slice, UnitGroup
from pruning.options.constraints import Between, check

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
    layers: ClassVar[tuple[type[nn.Module], ...]] = WITH_CHANNELS

    def __post_init__(self) -> None:
        check(self, "criterion")

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        if not calibration.workload.task.classes:
            raise RecipeError("attribution follows the logit of a class, and this workload has no classes; use taylor")
        # captum runs all steps of a batch at once: the batch shrinks so that memory does not grow with the steps
        batch = max(1, 1024 // self.steps)
        few = Calibration(calibration.workload, calibration.device, calibration.seed, self.samples, batch)
        model = _copied(model)
        totals = {group.name: torch.zeros(group.units, device=calibration.device) for group in groups}
        seen = 0
        with torch.enable_grad():
            for inputs, targets in few.batches():
                if not inputs.is_floating_point() and self.method not in WITHOUT_BASELINE:
                    raise RecipeError(
                        f"attribution by {self.method} scales inputs towards zero, and this network takes whole "
                        f"numbers; use method {' or '.join(WITHOUT_BASELINE)}, or criterion taylor"
                    )
                seen += len(inputs)
                for group in groups:
                    totals[group.name] += self._sizes(model, group, inputs, targets)
        return {name: total / seen for name, total in totals.items()}

    def _sizes(self, model: nn.Module, group: UnitGroup, inputs: Tensor, targets: Tensor) -> Tensor:
        """Σ over the batch of |attribution| of each unit [units]."""
        total = torch.zeros(len(inputs), group.units, device=inputs.device)
        for piece in group.ranked:
            assert isinstance(piece, Slice)  # channels are slices
            name = piece.param.rpartition(".")[0]
            module = model.get_submodule(name)
            values = self._attributed(model, name, module, inputs, targets).detach().float()
            features_last = values if isinstance(module, nn.Linear) else values.movedim(1, -1)
            features = features_last.reshape(len(inputs), -1, features_last.shape[-1]).sum(dim=1)
            total += features[:, piece.index.to(inputs.device)].sum(dim=2)
        return total.abs().sum(dim=0)

    def _attributed(self, model: nn.Module, name: str, module: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """What Captum gives for the layer's output, in its shape. WorkloadError names a layer that it cannot do."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it sets hooks, which it takes off again
                values = self._by_captum(model, module, inputs, targets)
        except (PruningError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if self.method == "deep_lift" and "more than once" in str(error):
                raise WorkloadError(
                    f"{name}: deep_lift needs a module of its own for every activation, and this network calls one "
                    "module several times; mend the network, or choose another method or criterion taylor"
                ) from error
            raise WorkloadError(
                f"{name}: {self.method} does not get through this network ({describe(error)}); choose another method "
                "or criterion taylor"
            ) from error
        if self.method == "grad_cam" and isinstance(module, nn.Linear) and values.dim() > 2:
            raise WorkloadError(
                f"{name}: grad_cam takes the positions of this layer's output {list(values.shape)} for its units; "
                "choose method gradient_x_activation"
            )
        return values

    def _by_captum(self, model: nn.Module, layer: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        # here and not above, for captum brings matplotlib: half a second that no other criterion needs
        from captum.attr import (
            InternalInfluence,
            LayerConductance,
            LayerDeepLift,
            LayerGradCam,
            LayerGradientXActivation,
            LayerIntegratedGradients,
        )

        match self.method:
            case "conductance":
                values = LayerConductance(model, layer).attribute(inputs, target=targets, n_steps=self.steps)
            case "integrated_gradients":
                values = LayerIntegratedGradients(model, layer).attribute(inputs, target=targets, n_steps=self.steps)
            case "deep_lift":
                values = LayerDeepLift(model, layer).attribute(inputs, target=targets)
            case "gradient_x_activation":
                values = LayerGradientXActivation(model, layer).attribute(inputs, target=targets)
            case "grad_cam":
                values = LayerGradCam(model, layer).attribute(
                    inputs, target=targets, attr_dim_summation=False, relu_attributions=False
                )
            case "internal_influence":
                values = InternalInfluence(model, layer).attribute(inputs, target=targets, n_steps=self.steps)
        assert isinstance(values, Tensor)  # one layer with one output gives one tensor
        return values


def _copied(model: nn.Module) -> nn.Module:
    """A copy, for where a method fails Captum leaves hooks and attributes behind. No activation of it works in place.

    Captum makes the layer's output a leaf of the graph, which torch lets nobody change.
    """
    copied = copy.deepcopy(model)
    for module in copied.modules():
        if isinstance(vars(module).get("inplace"), bool):
            vars(module)["inplace"] = False
    return copied
