"""Single weights of a pruned network change places with pruned ones, as the loss asks for it."""

from collections.abc import Sequence

from torch import Tensor, nn

from pruning.criteria.calibration import Calibration
from pruning.criteria.gradients import mean_gradients, ranked_params
from pruning.model.units import Keep, UnitGroup
from pruning.selection.exchange import exchanged


def exchanged_weights(
    model: nn.Module, groups: Sequence[UnitGroup], keep: Keep, calibration: Calibration, share: float
) -> tuple[Keep, Keep]:
    """One update of RigL (Evci et al. 2020, arXiv 1911.11134) in each group, whose units are single weights.

    The gradients are those of the mean loss over the calibration samples, of pruned weights too. The model in eval mode
    is only read.

    Returns:
        Who stays now, as many in each group as before; and who of them was pruned before.
    """
    slopes = mean_gradients(model, ranked_params(groups), calibration)
    now: dict[str, Tensor] = {}
    new: dict[str, Tensor] = {}
    for group in groups:
        (param,) = group.params
        sizes, slope = model.get_parameter(param).detach().abs().flatten(), slopes[param].abs().flatten()
        now[group.name], new[group.name] = exchanged(keep[group.name], sizes.cpu(), slope.cpu(), share)
    return now, new
