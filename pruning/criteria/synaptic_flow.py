"""How much flows through every unit from an input of ones to the output, all weights taken positive."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pruning.criteria.gradients import kernels, ranked_params
from pruning.errors import WorkloadError, describe
from pruning.model.units import UnitGroup, apply_masks, masks_of


class Flow:
    """Σ |w·∂R/∂w| of every unit, group after group, in a float64 copy of the network with positive weights.

    `first` float64 [all units] is the flow through the whole network. WorkloadError where nothing flows.
    """

    def __init__(self, model: nn.Module, groups: Sequence[UnitGroup], example: Tensor, device: torch.device) -> None:
        # Apple's accelerator has no float64
        device = torch.device("cpu") if device.type == "mps" else device
        self._groups = groups
        self._names = ranked_params(groups)
        self._model = _positive(copy.deepcopy(model).to(device, torch.float64))
        self._ones = torch.ones_like(example, dtype=torch.float64, device=device)
        self.first = self._now()
        finite = bool(self.first.isfinite().all())
        if not finite or not bool((self.first > 0).any()):
            what = "nothing flows" if finite else "the flow is not finite"
            raise WorkloadError(
                f"synflow: {what} from an input of ones to the output (a LayerNorm makes a constant input zero, a deep "
                "network may overflow); choose another criterion, such as snip"
            )

    def places(self, rounds: int) -> Tensor:
        """Each unit's place in the order in which they are pruned, over their number: in (0, 1], float64 [all
        units].
        """
        flow = self.first
        units = len(flow)
        sizes = [group.units for group in self._groups]
        left = torch.arange(units, device=flow.device)
        order: list[Tensor] = []
        for done in range(1, rounds + 1):
            stay = round(units ** (1 - done / rounds))
            left = left[flow[left].argsort(stable=True)]
            order.append(left[: len(left) - stay])
            left = left[len(left) - stay :]
            if stay == 1:
                break
            keeps = torch.zeros(units, dtype=torch.bool, device=flow.device).index_fill_(0, left, True).split(sizes)
            keep = {group.name: stays for group, stays in zip(self._groups, keeps, strict=True)}
            apply_masks(self._model, masks_of(self._groups, keep, self._model))
            after = self._now()
            if not bool((after[left] > 0).any()):
                break  # a layer is empty: those left keep the order of the last flow there was
            flow = after
            left = left.sort().values  # ties are pruned by position
        in_order = torch.cat([*order, left])
        places = torch.empty(units, dtype=torch.float64, device=flow.device)
        places[in_order] = torch.arange(1, units + 1, dtype=torch.float64, device=flow.device) / units
        return places

    def _now(self) -> Tensor:
        """The flow through what is left of the network: float64 [all units]."""
        weights = [self._model.get_parameter(name) for name in self._names]
        with torch.enable_grad(), kernels(self._model):
            try:
                output = self._model(self._ones).sum()
            except RuntimeError as error:
                raise WorkloadError(
                    f"synflow: the network does not run in double precision on ones ({describe(error)}); choose "
                    "another criterion, such as snip"
                ) from error
            slopes = torch.autograd.grad(output, weights, materialize_grads=True)
        flows = {n: (w.detach() * slope).abs() for n, w, slope in zip(self._names, weights, slopes, strict=True)}
        # what sums up does so in float32, in which the flow of a deep network has no place
        largest = torch.stack([flow.max() for flow in flows.values()]).max().clamp(min=torch.finfo(torch.float64).tiny)
        shares = {name: flow / largest for name, flow in flows.items()}
        return torch.cat([group.sums(shares).double() * largest for group in self._groups])


@torch.no_grad()
def _positive(model: nn.Module) -> nn.Module:
    """The model with the size of each of its parameters and with running means of 0, changed in place."""
    for parameter in model.parameters():
        parameter.abs_()
    for name, statistic in model.named_buffers():
        if name.rpartition(".")[2] == "running_mean":
            statistic.zero_()
    return model
