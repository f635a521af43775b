"""Gates of units that learn to close: the hard concrete distribution (Louizos et al. 2018, arXiv 1712.01312)."""

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from pruning.model.layer_types import BATCHNORMS, is_a
from pruning.model.patching import replaced_parameters
from pruning.model.units import Piece, UnitGroup, masks_for, parameter_shapes, zeroed
from pruning.training.loss_terms import Moment
from pruning.training.regularisers.penalty import Penalty, warmed_up

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1
"""The temperature, and the interval that the concrete distribution is stretched to."""

FIRST = math.log(0.9 / 0.1)
"""log α of every gate at first: the network is trained already, and nearly all gates are open."""


def opened(log_alpha: Tensor) -> Tensor:
    """P(z ≠ 0) of gates, eq. 12 of the paper: [units] in (0, 1)."""
    return torch.sigmoid(log_alpha - BETA * math.log(-GAMMA / ZETA))


def drawn(log_alpha: Tensor, uniform: Tensor) -> Tensor:
    """Gates [units] in [0, 1] for draws from (0, 1) of the same shape, eq. 10 and 11."""
    concrete = torch.sigmoid((uniform.log() - (-uniform).log1p() + log_alpha) / BETA)
    return (concrete * (ZETA - GAMMA) + GAMMA).clamp(0.0, 1.0)


def settled(log_alpha: Tensor) -> Tensor:
    """The gates that are used once training is over, eq. 13: [units] in [0, 1]."""
    return (torch.sigmoid(log_alpha) * (ZETA - GAMMA) + GAMMA).clamp(0.0, 1.0)


class Gates(Penalty):
    """A gate for every unit, learnt together with the weights of one training.

    While the loss is computed every weight stands in its module as the product with its gate, which is drawn anew in
    each step: weights and gates get their gradients from the product, and any network and loss will do.
    """

    def __init__(
        self,
        model: nn.Module,
        groups: Sequence[UnitGroup],
        strength: float,
        warm_up: float,
        learning_rate: float,
    ) -> None:
        self._groups, self._strength, self._warm_up = groups, strength, warm_up
        shapes = parameter_shapes(model)
        device = next(model.parameters()).device
        owned = {group.name: _learnt(group, shapes).owned(shapes).to(device).float() for group in groups}
        total = sum(float(values.sum()) for values in owned.values())
        self._shares = {name: values / total for name, values in owned.items()}
        self._log_alpha = {
            group.name: torch.full((group.units,), FIRST, device=device, requires_grad=True) for group in groups
        }
        self._optimiser = Adam(self._log_alpha.values(), lr=learning_rate)
        self._owners = _owners(model, groups, shapes, device)

    @contextmanager
    def around(self, model: nn.Module) -> Generator[None]:
        """In the block the network computes with gates that are drawn, from the global generator."""
        factors = self._factors({name: drawn(each, _uniform(each)) for name, each in self._log_alpha.items()})
        with _standing_in(model, {name: model.get_parameter(name) * factor for name, factor in factors.items()}):
            yield

    def added(self, moment: Moment) -> Tensor:
        """λ times the expected share of the values that are left."""
        left = [(self._shares[name] * opened(each)).sum() for name, each in self._log_alpha.items()]
        return warmed_up(self._strength, self._warm_up, moment.step, moment.steps) * torch.stack(left).sum()

    def after_step(self, model: nn.Module) -> None:
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)

    def sizes(self, model: nn.Module) -> dict[str, Tensor]:
        """Group name -> the settled gates [units]."""
        return {name: settled(each.detach()) for name, each in self._log_alpha.items()}

    @contextmanager
    def judged(self, model: nn.Module) -> Generator[None]:
        """In the block the model computes with the settled gates, its closed units being 0."""
        folded = self._folded(model)
        with replaced_parameters(model, folded, lambda name, _: folded[name]):
            yield

    @torch.no_grad()
    def finish(self, model: nn.Module) -> None:
        """Put the settled gates into the weights, in place."""
        for name, values in self._folded(model).items():
            model.get_parameter(name).copy_(values)

    def state(self) -> dict[str, Any]:
        """All that the next steps depend on: not copies."""
        return {
            "log_alpha": {name: each.detach() for name, each in self._log_alpha.items()},
            "optimiser": self._optimiser.state_dict(),
        }

    @torch.no_grad()
    def load(self, state: Mapping[str, Any]) -> None:
        for name, values in state["log_alpha"].items():
            self._log_alpha[name].copy_(values)
        self._optimiser.load_state_dict(state["optimiser"])

    @torch.no_grad()
    def _folded(self, model: nn.Module) -> dict[str, Tensor]:
        """Parameter name -> its values times the settled gates; all that a closed unit owns is 0."""
        gates = self.sizes(model)
        found = {name: model.get_parameter(name).detach() * factor for name, factor in self._factors(gates).items()}
        open_ = {name: (each > 0).cpu() for name, each in gates.items()}
        one_name = _one_name(model)
        for param, stays in masks_for(self._groups, open_, parameter_shapes(model)).items():
            name = one_name[param]
            values = found.setdefault(name, model.get_parameter(name).detach())
            found[name] = zeroed(values, ~stays.to(values.device))
        return found

    def _factors(self, gates: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Parameter name -> what its values are multiplied by, of a shape that spreads over the parameter's."""
        factors: dict[str, Tensor] = {}
        for name, param, owners in self._owners:
            factor = torch.where(owners < 0, 1.0, gates[name][owners.clamp(min=0)])
            factors[param] = factors[param] * factor if param in factors else factor
        return factors


def gated(model: nn.Module, group: UnitGroup) -> list[Piece]:
    """What a unit's gate multiplies, so that the unit's output is multiplied by it.

    Behind BatchNorm only its scale and shift count: it takes back whatever multiplies the weights before it. Where not
    every layer that makes the unit has one, the weights that rank it and their biases are multiplied.
    """
    own = {piece.param.rpartition(".")[0] for piece in group.ranked}
    of_norms: list[Piece] = []
    biases: list[Piece] = []
    for piece in group.follows:
        layer, _, word = piece.param.rpartition(".")
        if word in ("weight", "bias") and is_a(model.get_submodule(layer), BATCHNORMS):
            of_norms.append(piece)
        elif layer in own and word.startswith("bias"):
            biases.append(piece)
    scales = sum(piece.param.endswith("weight") for piece in of_norms)
    return of_norms if scales >= len(group.ranked) else [*group.ranked, *biases, *of_norms]


def _learnt(group: UnitGroup, shapes: Mapping[str, Sequence[int]]) -> UnitGroup:
    """The group without the pieces that are no parameters: a norm's running statistics."""
    return replace(group, follows=tuple(piece for piece in group.follows if piece.param in shapes))


def _owners(
    model: nn.Module, groups: Sequence[UnitGroup], shapes: Mapping[str, Sequence[int]], device: torch.device
) -> list[tuple[str, str, Tensor]]:
    """Group, parameter, and the unit whose gate multiplies each of its values: int64, −1 where none does."""
    one_name = _one_name(model)
    return [
        (group.name, one_name[piece.param], piece.owners(shapes[piece.param]).to(device))
        for group in groups
        for piece in gated(model, group)
    ]


@contextmanager
def _standing_in(model: nn.Module, tensors: Mapping[str, Tensor]) -> Generator[None]:
    """While the block runs, each tensor stands in the place of its parameter, in every module that holds that.

    As `torch.func.functional_call` does, for a loss that is given the model and calls it itself.
    """
    by_tensor = {id(model.get_parameter(name)): tensor for name, tensor in tensors.items()}
    places: list[tuple[dict[str, Any], str, Any]] = []
    for module in model.modules():
        own: dict[str, Any] = module._parameters  # pyright: ignore[reportPrivateUsage]
        places += [(own, word, parameter) for word, parameter in own.items() if id(parameter) in by_tensor]
    try:
        for own, word, parameter in places:
            own[word] = by_tensor[id(parameter)]
        yield
    finally:
        for own, word, parameter in places:
            own[word] = parameter


def _one_name(model: nn.Module) -> dict[str, str]:
    """Every name of a parameter -> the first of the names of the same tensor."""
    first: dict[int, str] = {}
    return {
        name: first.setdefault(id(parameter), name)
        for name, parameter in model.named_parameters(remove_duplicate=False)
    }


def _uniform(like: Tensor) -> Tensor:
    """Draws from (0, 1), without its ends."""
    tiny = torch.finfo(torch.float32).tiny
    return torch.rand_like(like).clamp(min=tiny, max=1 - torch.finfo(torch.float32).eps)
