"""For granularities that find out by trial what a module does: what it is called with, and what it would give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning.model.patching import evaluating, hooked, replaced_parameters


@dataclass(frozen=True, eq=False)
class RecordedCall:
    """One call of a module in the forward pass: what went in, and the first tensor that came out.

    `outputs` is how many came out in a tuple, that tensor first; 0 where it came alone, None where it came otherwise.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Tensor | None
    outputs: int | None = None

    @property
    def stream(self) -> Tensor | None:
        """The first tensor that went in."""
        return _first_tensor((*self.args, *self.kwargs.values()))

    def instead(self, other: Tensor) -> "RecordedCall":
        """The same call with another first tensor."""
        stream = self.stream
        args = tuple(other if value is stream else value for value in self.args)
        return RecordedCall(
            args, {name: other if value is stream else value for name, value in self.kwargs.items()}, None
        )


@torch.no_grad()
def calls_of(model: nn.Module, example: Tensor, names: Sequence[str]) -> dict[str, list[RecordedCall]]:
    """Module name -> its calls while the model, in eval mode, computes the example. The model stays as it was."""
    calls: dict[str, list[RecordedCall]] = {name: [] for name in names}

    def kept(value: Any, copies: dict[int, Any]) -> Any:
        # a later layer may change a tensor in place; one that goes in twice is one copy
        return copies.setdefault(id(value), value.detach().clone() if isinstance(value, Tensor) else value)

    def before(name: str) -> Any:
        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            copies: dict[int, Any] = {}
            inputs = tuple(kept(value, copies) for value in args)
            calls[name].append(
                RecordedCall(inputs, {word: kept(value, copies) for word, value in kwargs.items()}, None)
            )

        return hook

    def after(name: str) -> Any:
        def hook(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
            last = calls[name][-1]
            calls[name][-1] = RecordedCall(last.args, last.kwargs, kept(_first_tensor((output,)), {}), _outputs(output))

        return hook

    modules = {name: model.get_submodule(name) for name in names}
    before_each = [(module, before(name)) for name, module in modules.items()]
    after_each = [(module, after(name)) for name, module in modules.items()]
    with evaluating(model), hooked(before_each, after_each):
        model(example)
    return calls


@torch.no_grad()
def output_with(module: nn.Module, tensors: Mapping[str, Tensor], call: RecordedCall) -> Tensor | None:
    """The first tensor that the module would give with other parameters; None where it does not run."""
    try:
        # torch's functional_call leaves other values behind in a module that has two parents
        with evaluating(module), replaced_parameters(module, tensors, lambda name, _: tensors[name]):
            return _first_tensor((module(*call.args, **call.kwargs),))
    except Exception:  # what a stranger's forward raises on zeros or random numbers: then it is not what was looked for
        return None


def _outputs(output: Any) -> int | None:
    if isinstance(output, Tensor):
        return 0
    return len(output) if type(output) is tuple and output and isinstance(output[0], Tensor) else None


def _first_tensor(values: Any) -> Tensor | None:
    for value in values:
        if isinstance(value, Tensor):
            return value
        if isinstance(value, tuple | list) and (inner := _first_tensor(value)) is not None:
            return inner
    return None
