"""The loss without one unit, for every unit in turn: many at once where torch can and it pays."""

import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from pruning.criteria.calibration import Calibration
from pruning.criteria.gradients import Loss
from pruning.model.units import UnitGroup
from pruning.workload import Batch, Task

BYTES = 256 * 2**20
"""Roughly what the copies of one chunk of units may take: their masked parameters and their activations."""


@dataclass(frozen=True, eq=False)
class _Removal:
    """A group's units taken out one by one: `alive` [units] are those that own any value other than 0.

    Without the others nothing changes. `masked` gives for units [chunk] each parameter without each of them [chunk,
    *shape], which takes `bytes` a unit.
    """

    alive: Tensor
    masked: Callable[[Tensor], dict[str, Tensor]]
    bytes: int
    pays_at_once: bool


@torch.no_grad()
def rises(model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
    """Group name -> by how much the mean loss over the calibration samples rises without each unit [units]."""
    removals = {group.name: _removal(model, group) for group in groups}
    totals = {group.name: torch.zeros(group.units, device=calibration.device) for group in groups}
    task = calibration.workload.task
    seen = 0
    with _plain_attention():
        for batch in calibration.batches():
            with _Largest() as largest:
                whole = task.loss(model, batch)
            seen += len(batch[0])
            for name, removal in removals.items():
                # what is computed and what it is computed from live together, and a layer in between
                chunk = max(1, BYTES // (removal.bytes + 4 * largest.bytes))
                losses = [
                    _losses(model, task, batch, removal, units)
                    for units in removal.alive.split(chunk)
                    if len(units)  # of nothing there is one empty part
                ]
                if losses:
                    totals[name][removal.alive] += (torch.cat(losses) - whole).float() * len(batch[0])
    return {name: total / seen for name, total in totals.items()}


def _removal(model: nn.Module, group: UnitGroup) -> _Removal:
    first = {id(p): name for name, p in model.named_parameters()}  # a shared parameter goes by its first name
    own = dict(model.named_parameters(remove_duplicate=False))
    owners: dict[str, list[Tensor]] = {}
    filled = torch.zeros(group.units, dtype=torch.bool)
    for piece in group.pieces:
        if piece.param in own:  # and not a norm's running statistics, which masks leave as they are
            parameter = own[piece.param].detach()
            owner = piece.owners(parameter.shape)
            owned = owner.expand(parameter.shape).to(parameter.device)[parameter != 0].unique().cpu()
            filled[owned[owned >= 0]] = True
            owners.setdefault(first[id(own[piece.param])], []).append(owner.to(parameter.device))
    params = {name: own[name].detach() for name in owners}
    device = next(iter(params.values())).device

    def masked(units: Tensor) -> dict[str, Tensor]:
        left: dict[str, Tensor] = {}
        for name, pieces in owners.items():
            each = units.reshape(-1, *[1] * params[name].dim())
            values = params[name].expand(len(units), *params[name].shape)
            for owner in pieces:
                values = values.masked_fill(owner == each, 0.0)
            left[name] = values
        return left

    size = sum(parameter.numel() * parameter.element_size() for parameter in params.values())
    return _Removal(filled.nonzero().flatten().to(device), masked, size, _pays_at_once(params.values(), device))


def _pays_at_once(params: Iterable[Tensor], device: torch.device) -> bool:
    """Whether many units at once are faster than one after another.

    Not for the kernels of a convolution on the CPU, which vmap makes a grouped convolution of: on the sample ResNet the
    loop took 0.7 of the time. Linear layers came out even there.
    """
    return device.type != "cpu" or all(parameter.dim() <= 2 for parameter in params)


def _losses(model: nn.Module, task: Task, batch: Batch, removal: _Removal, units: Tensor) -> Tensor:
    """The loss without each of the units [chunk]."""
    measured = Loss(model, task)

    def loss(params: dict[str, Tensor]) -> Tensor:
        return measured.at(params, batch)

    if removal.pays_at_once:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", message="There is a performance drop", category=UserWarning)
                return vmap(loss)(removal.masked(units))
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, UserWarning):
            pass  # vmap has no rule for recurrent layers, nor for a network that looks at its values
    one_by_one = ({name: values[0] for name, values in removal.masked(unit).items()} for unit in units.split(1))
    return torch.stack([loss(params) for params in one_by_one])


@contextmanager
def _plain_attention() -> Generator[None]:
    """Attention as plain products of matrices: the fused kernels have no rule under vmap."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class _Largest(TorchDispatchMode):
    """Bytes of the largest tensor that is computed in the block."""

    bytes = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler to keep it out: nothing is compiled here

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor):
                self.bytes = max(self.bytes, tensor.numel() * tensor.element_size())
        return out
