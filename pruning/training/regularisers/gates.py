"""Gates of units that learn to close, whatever makes a gate of what is learnt."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Adam

from pruning.model.layer_types import BATCHNORMS, is_a
from pruning.model.patching import replaced_parameters
from pruning.model.units import Piece, UnitGroup, masks_for, parameter_shapes, zeroed
from pruning.training.loss_terms import Moment
from pruning.training.regularisers.penalty import Penalty, warmed_up


class Gate(Protocol):
    """How the number that is learnt for each unit makes the unit's gate: float32 [units] in, float32 [units] out."""

    first: float
    """What every unit begins with."""

    def drawn(self, learnt: Tensor) -> Tensor:
        """What units are multiplied by in a step, in [0, 1]: differentiable; may draw from the global generator."""
        ...

    def paid(self, learnt: Tensor) -> Tensor:
        """What the loss pays for every unit, in (0, 1): differentiable."""
        ...

    def settled(self, learnt: Tensor) -> Tensor:
        """What units are multiplied by once the training is over, in [0, 1]; a unit at 0 is closed."""
        ...

    def sizes(self, learnt: Tensor) -> Tensor:
        """How far every unit is from closed, which is 0: for eyes. The settled gates, if a class says nothing else."""
        return self.settled(learnt)


class Gates(Penalty):
    """A gate for every unit, learnt together with the weights of one training.

    While the loss is computed every weight stands in its module as the product with its gate, which is made anew in
    each step: weights and gates get their gradients from the product, and any network and loss will do.
    """

    def __init__(
        self,
        model: nn.Module,
        groups: Sequence[UnitGroup],
        gate: Gate,
        strength: float,
        warm_up: float,
        learning_rate: float,
    ) -> None:
        self._groups, self._gate, self._strength, self._warm_up = groups, gate, strength, warm_up
        shapes = parameter_shapes(model)
        device = next(model.parameters()).device
        owned = {group.name: _learnt(group, shapes).owned(shapes).to(device).float() for group in groups}
        total = sum(float(values.sum()) for values in owned.values())
        self._shares = {name: values / total for name, values in owned.items()}
        self._learnt = {
            group.name: torch.full((group.units,), gate.first, device=device, requires_grad=True) for group in groups
        }
        self._optimiser = Adam(self._learnt.values(), lr=learning_rate)
        self._owners = _owners(model, groups, shapes, device)

    @contextmanager
    def around(self, model: nn.Module) -> Generator[None]:
        """In the block the network computes with the gates of this step."""
        factors = self._factors({name: self._gate.drawn(each) for name, each in self._learnt.items()})
        with _standing_in(model, {name: model.get_parameter(name) * factor for name, factor in factors.items()}):
            yield

    def added(self, moment: Moment) -> Tensor:
        """λ times what units pay, each by its share of the values."""
        paid = [(self._shares[name] * self._gate.paid(each)).sum() for name, each in self._learnt.items()]
        return warmed_up(self._strength, self._warm_up, moment.step, moment.steps) * torch.stack(paid).sum()

    def after_step(self, model: nn.Module) -> None:
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)

    def sizes(self, model: nn.Module) -> dict[str, Tensor]:
        return {name: self._gate.sizes(each.detach()) for name, each in self._learnt.items()}

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
            "learnt": {name: each.detach() for name, each in self._learnt.items()},
            "optimiser": self._optimiser.state_dict(),
        }

    @torch.no_grad()
    def load(self, state: Mapping[str, Any]) -> None:
        for name, values in state["learnt"].items():
            self._learnt[name].copy_(values)
        self._optimiser.load_state_dict(state["optimiser"])

    @torch.no_grad()
    def _folded(self, model: nn.Module) -> dict[str, Tensor]:
        """Parameter name -> its values times the settled gates; all that a closed unit owns is 0."""
        gates = {name: self._gate.settled(each.detach()) for name, each in self._learnt.items()}
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
