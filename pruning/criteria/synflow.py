import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from pruning.criteria.calibration import Calibration
from pruning.criteria.criterion import ANY
from pruning.criteria.gradients import kernels, ranked_params
from pruning.errors import RecipeError, WorkloadError
from pruning.model.layer_table import PRUNABLE
from pruning.model.preparation import describe
from pruning.model.units import UnitGroup, apply_masks, masks_of
from pruning.options.constraints import Between, check


@dataclass(frozen=True)
class Synflow:
    """How much flows through the weight from an input of ones to the output, all weights taken positive: |w·∂R/∂w|.

    (Synaptic flow, Tanaka et al. 2020, arXiv 2006.05467.) Needs no data. R is the sum of the outputs of a float64 copy
    in which every parameter is replaced by its size and running means are 0. Scores [units]; units add up. With one
    round the score is that flow. With n rounds it is the unit's place in the order in which units are pruned, in (0,
    1]: after round k the N^(1 − k/n) units with the most flow are left of N, all others are zero, and the flow is taken
    anew. So one ranking is iterative SynFlow, all layers together, at the sparsity of every round.
    """

    rounds: Annotated[int, Between(1, 100)] = 100
    """Rounds in which units are pruned, each after a new look at what still flows; 1 looks once and may empty a layer.
    """

    formula: ClassVar[str] = "Σ |w·∂R/∂w|, in rounds"
    source: ClassVar[str] = "Tanaka 2020"
    cost: ClassVar[str] = "no pass over data: one input of ones forward and backward in each of the `rounds`"
    fits: ClassVar[tuple[str, ...]] = ANY
    layers: ClassVar[tuple[type[nn.Module], ...]] = PRUNABLE

    def __post_init__(self) -> None:
        check(self, "criterion")

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        example = calibration.workload.example
        if not example.is_floating_point():
            raise RecipeError("synflow sends ones through the network, and this one takes whole numbers; use snip")
        # Apple's accelerator has no float64
        device = torch.device("cpu") if calibration.device.type == "mps" else calibration.device
        positive = _positive(copy.deepcopy(model).to(device, torch.float64))
        ones = torch.ones_like(example, dtype=torch.float64, device=device)
        names = ranked_params(groups)
        flow = _flow(positive, groups, names, ones)
        if not bool(flow.isfinite().all()) or not bool((flow > 0).any()):
            what = "nothing flows" if bool(flow.isfinite().all()) else "the flow is not finite"
            raise WorkloadError(
                f"synflow: {what} from an input of ones to the output (a LayerNorm makes a constant input zero, a deep "
                "network may overflow); choose another criterion, such as snip"
            )
        if self.rounds > 1:
            flow = self._places(positive, groups, flow, names, ones)
        parts = flow.split([group.units for group in groups])
        return {group.name: part.float() for group, part in zip(groups, parts, strict=True)}

    def _places(
        self, model: nn.Module, groups: Sequence[UnitGroup], flow: Tensor, names: Sequence[str], ones: Tensor
    ) -> Tensor:
        """Each unit's place in the order in which they are pruned, over their number: in (0, 1], float64 [all
        units].
        """
        units = len(flow)
        sizes = [group.units for group in groups]
        left = torch.arange(units, device=flow.device)
        order: list[Tensor] = []
        for done in range(1, self.rounds + 1):
            stay = round(units ** (1 - done / self.rounds))
            left = left[flow[left].argsort(stable=True)]
            order.append(left[: len(left) - stay])
            left = left[len(left) - stay :]
            if stay == 1:
                break
            keeps = torch.zeros(units, dtype=torch.bool, device=flow.device).index_fill_(0, left, True).split(sizes)
            keep = {group.name: stays for group, stays in zip(groups, keeps, strict=True)}
            apply_masks(model, masks_of(groups, keep, model))
            after = _flow(model, groups, names, ones)
            if not bool((after[left] > 0).any()):
                break  # a layer is empty: those left keep the order of the last flow there was
            flow = after
            left = left.sort().values  # ties are pruned by position
        pruning_now = torch.cat([*order, left])
        places = torch.empty(units, dtype=torch.float64, device=flow.device)
        places[pruning_now] = torch.arange(1, units + 1, dtype=torch.float64, device=flow.device) / units
        return places


@torch.no_grad()
def _positive(model: nn.Module) -> nn.Module:
    """The model with the size of each of its parameters and with running means of 0, changed in place."""
    for parameter in model.parameters():
        parameter.abs_()
    for name, statistic in model.named_buffers():
        if name.rpartition(".")[2] == "running_mean":
            statistic.zero_()
    return model


def _flow(model: nn.Module, groups: Sequence[UnitGroup], names: Sequence[str], ones: Tensor) -> Tensor:
    """Σ |w·∂R/∂w| of every unit, group after group: float64 [all units]."""
    weights = [model.get_parameter(name) for name in names]
    with torch.enable_grad(), kernels(model):
        try:
            output = model(ones).sum()
        except RuntimeError as error:
            raise WorkloadError(
                f"synflow: the network does not run in double precision on ones ({describe(error)}); choose another "
                "criterion, such as snip"
            ) from error
        slopes = torch.autograd.grad(output, weights, materialize_grads=True)
    flows = {n: (w.detach() * slope).abs() for n, w, slope in zip(names, weights, slopes, strict=True)}
    # what sums up does so in float32, in which the flow of a deep network has no place
    largest = torch.stack([flow.max() for flow in flows.values()]).max().clamp(min=torch.finfo(torch.float64).tiny)
    shares = {name: flow / largest for name, flow in flows.items()}
    return torch.cat([group.sums(shares).double() * largest for group in groups])
