"""A network in training and its teacher, run on the same batch and compared: by outputs, or by what layers read."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning.errors import RecipeError
from pruning.model.layer_types import has_channels
from pruning.model.patching import evaluating, hooked
from pruning.training.loss_terms import LossTerm, Moment


@dataclass(frozen=True, eq=False)
class Call:
    """What the network was called with in a pass."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class _Taught(LossTerm):
    """Watches how the task's loss calls the network, so that the teacher can be called the same way."""

    def __init__(self, teacher: nn.Module) -> None:
        self.teacher = teacher
        self._calls: list[Call] = []

    @contextmanager
    def around(self, model: nn.Module) -> Generator[None]:
        self._calls = []

        def called(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._calls.append(Call(args, kwargs))

        with hooked(before=[(model, called)]):
            yield

    @torch.no_grad()
    def taught(self) -> Any:
        """What the teacher gives where the network was called once. RecipeError where it was not."""
        if len(self._calls) != 1:
            raise RecipeError(
                f"distillation compares what two networks give in one pass, and the task's loss calls the network "
                f"{len(self._calls)} times: choose distillation none, or let loss() call model(inputs) once"
            )
        (call,), self._calls = self._calls, []
        with evaluating(self.teacher):
            return self.teacher(*call.args, **call.kwargs)


class LearntOutput(_Taught):
    """(1 − share) · the task's loss + share · how far the outputs are apart.

    Args:
        teacher: In evaluation mode.
        apart: Of the network's output and the teacher's, both [b, ...]: a differentiable scalar.
        share: In [0, 1].
    """

    def __init__(self, teacher: nn.Module, apart: Callable[[Tensor, Tensor], Tensor], share: float) -> None:
        super().__init__(teacher)
        self.apart, self.share = apart, share
        self._output: Any = None

    @contextmanager
    def around(self, model: nn.Module) -> Generator[None]:
        def gave(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            self._output = output

        with super().around(model), hooked(after=[(model, gave)]):
            yield
        self._output = None

    def added(self, moment: Moment) -> Tensor:
        wanted, output = self.taught(), self._output
        for given in (output, wanted):
            if not isinstance(given, Tensor):
                raise RecipeError(
                    f"distillation compares tensors, and the network gives a {type(given).__name__}: "
                    "choose distillation features, or none"
                )
        if output.shape != wanted.shape:
            raise RecipeError(
                f"distillation compares outputs of one shape, and the network gives {list(output.shape)} where its "
                f"teacher gives {list(wanted.shape)}: choose another distillation.teacher"
            )
        return self.share * (self.apart(output, wanted) - moment.loss)


class LearntActivations(_Taught):
    """The task's loss + weight · the mean over layers of ‖a − a′‖² / ‖a′‖², of what the layers read.

    Args:
        teacher: The dense network, in evaluation mode.
        layers: Names of modules in both networks, each called once in a pass with a tensor first.
        weight: From 0.
    """

    def __init__(self, teacher: nn.Module, layers: Sequence[str], weight: float) -> None:
        super().__init__(teacher)
        self.layers, self.weight = tuple(layers), weight
        self._read: dict[str, Tensor] = {}

    @contextmanager
    def around(self, model: nn.Module) -> Generator[None]:
        with super().around(model), _reading(model, self.layers) as self._read:
            yield
        self._read = {}

    def added(self, moment: Moment) -> Tensor:
        with _reading(self.teacher, self.layers) as wanted:
            self.taught()
        return self.weight * torch.stack([_apart(self._read[name], wanted[name]) for name in self.layers]).mean()


def layers_behind_the_first(model: nn.Module, example: Tensor) -> list[str]:
    """Linear and convolutional layers that are called once in a pass, in the order of their calls, but the first."""
    named: dict[nn.Module, str] = {module: name for name, module in model.named_modules() if has_channels(module)}
    called: list[str] = []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        called.append(named[module])
        if not args:  # its input has a name, and is not to be found by its place
            called.append(named[module])

    with torch.no_grad(), evaluating(model), hooked(before=[(module, note) for module in named]):
        model(example.to(next(model.parameters()).device))
    return [name for name in called if called.count(name) == 1 and name != called[0]]


@contextmanager
def _reading(model: nn.Module, layers: Sequence[str]) -> Generator[dict[str, Tensor]]:
    """Layer -> what it reads, filled while the block runs."""
    read: dict[str, Tensor] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            read[name] = args[0]

        return hook

    with hooked(before=[(model.get_submodule(name), note(name)) for name in layers]):
        yield read


def _apart(found: Tensor, wanted: Tensor) -> Tensor:
    wanted = wanted.float()
    return (found.float() - wanted).square().mean() / wanted.square().mean().clamp(min=1e-12)
