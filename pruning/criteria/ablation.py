import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from pruning.criteria.calibration import Calibration
from pruning.criteria.gradients import Loss
from pruning.model.layer_table import PRUNABLE
from pruning.model.units import UnitGroup
from pruning.options.constraints import Between, check
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


@dataclass(frozen=True)
class Ablation:
    """What the unit is worth, measured: how far the loss rises when this one unit is removed.

    The unit and all that is pruned with it are set to zero, and the loss is averaged over the same training samples as
    that of the whole network. Scores [units]; below zero where the network does better without the unit. This is the
    measure that Molchanov et al. 2017 (arXiv 1611.06440) call the oracle. One forward pass for each unit, done for many
    units at once (torch.func.vmap) where torch can and it pays.
    """

    samples: Annotated[int, Between(1, 10000)] = 256
    """Training samples that the loss is measured on: each unit costs a forward pass over all of them."""

    formula: ClassVar[str] = "L(without the unit) − L"
    source: ClassVar[str] = "Molchanov 2017 (oracle)"
    cost: ClassVar[str] = "a forward pass over `samples` training samples for each unit"
    fits: ClassVar[tuple[str, ...]] = (
        "channels",
        "heads",
        "rnn_units",
        "rnn_gates",
        "layers",
        "embedding_dimensions",
        "kernels",
    )
    layers: ClassVar[tuple[type[nn.Module], ...]] = PRUNABLE

    def __post_init__(self) -> None:
        check(self, "criterion")

    @torch.no_grad()
    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        few = replace(calibration, samples=self.samples)
        removals = {group.name: _removal(model, group) for group in groups}
        rises = {group.name: torch.zeros(group.units, device=calibration.device) for group in groups}
        seen = 0
        with _plain_attention():
            for batch in few.batches():
                with _Largest() as largest:
                    whole = calibration.workload.task.loss(model, batch)
                seen += len(batch[0])
                for group in groups:
                    removal = removals[group.name]
                    # what is computed and what it is computed from live together, and a layer in between
                    chunk = max(1, BYTES // (removal.bytes + 4 * largest.bytes))
                    losses = [
                        _losses(model, calibration.workload.task, batch, removal, units)
                        for units in removal.alive.split(chunk)
                        if len(units)  # of nothing there is one empty part
                    ]
                    if losses:
                        rises[group.name][removal.alive] += (torch.cat(losses) - whole).float() * len(batch[0])
        return {name: rise / seen for name, rise in rises.items()}


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

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor):
                self.bytes = max(self.bytes, tensor.numel() * tensor.element_size())
        return out
