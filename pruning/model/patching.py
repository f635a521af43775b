"""Temporary changes of a model: its mode, its forwards, its hooks, its parameters. Each ends with its block, always."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn, no_grad

PreHook = Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], tuple[Any, Any] | None]
"""Called with a module, its arguments and its keyword arguments before its forward."""

Hook = Callable[[nn.Module, tuple[Any, ...], Any], None]
"""Called with a module, its arguments and its output after its forward."""


@contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """Evaluation mode while the block runs; then each module is back in its own mode."""
    with own_modes_restored(model):
        model.eval()
        yield


@contextmanager
def training(model: nn.Module) -> Generator[None]:
    """Training mode while the block runs; then each module is back in its own mode."""
    with own_modes_restored(model):
        model.train()
        yield


@contextmanager
def training_tried(model: nn.Module) -> Generator[None]:
    """Training mode while the block runs; then modes and buffers, such as running statistics, are what they were."""
    owned = [
        (module, name, buffer) for module in model.modules() for name, buffer in module.named_buffers(recurse=False)
    ]
    values = [buffer.clone() for _, _, buffer in owned]
    try:
        with training(model):
            yield
    finally:
        with no_grad():
            for (module, name, buffer), value in zip(owned, values, strict=True):
                setattr(module, name, buffer.copy_(value))  # a forward may have put another tensor in its place


@contextmanager
def own_modes_restored(model: nn.Module) -> Generator[None]:
    """Each module is back in its own mode after the block.

    `model.train(before)` would not do: it puts a frozen BatchNorm, which is in evaluation mode inside a model in
    training mode, into training mode.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            if module.training != mode:
                module.training = mode


@contextmanager
def frozen(model: nn.Module) -> Generator[None]:
    """No parameter asks for a gradient while the block runs; then those do that did before."""
    asking = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in asking:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)


def copy_modes(source: nn.Module, target: nn.Module) -> None:
    """Put each module of `target`, which has no other modules than `source`, into the mode of its counterpart."""
    counterparts = dict(source.named_modules(remove_duplicate=False))
    for path, module in target.named_modules():
        module.training = counterparts[path].training


@contextmanager
def replaced_forwards(forwards: Mapping[nn.Module, Callable[..., Any]]) -> Generator[None]:
    """Each module computes with the given function while the block runs, its hooks included."""
    before = {module: vars(module)["forward"] for module in forwards if "forward" in vars(module)}
    try:
        for module, forward in forwards.items():
            vars(module)["forward"] = forward
        yield
    finally:
        for module in forwards:
            vars(module).pop("forward", None)
        for module, forward in before.items():
            vars(module)["forward"] = forward


@contextmanager
def hooked(
    before: Iterable[tuple[nn.Module, PreHook]] = (), after: Iterable[tuple[nn.Module, Hook]] = ()
) -> Generator[None]:
    """While the block runs, call these hooks before and after the forwards of their modules."""
    with ExitStack() as handles:
        for module, pre_hook in before:
            handles.enter_context(module.register_forward_pre_hook(pre_hook, with_kwargs=True))
        for module, hook in after:
            handles.enter_context(module.register_forward_hook(hook))
        yield


@contextmanager
def replaced_parameters(
    model: nn.Module, names: Iterable[str], replace: Callable[[str, Tensor], Tensor]
) -> Generator[None]:
    """While the block runs, each named parameter holds what `replace` makes of its name and its values.

    `replace` returns a new tensor. The parameter stays the same object, and afterwards holds the same memory as before:
    nothing is copied back. Of a parameter that has two of the names, the second replaces what the first one made.
    """
    parameters = {name: model.get_parameter(name) for name in names}
    values = {name: parameter.data for name, parameter in parameters.items()}
    try:
        for name, parameter in parameters.items():
            parameter.data = replace(name, parameter.data)
        yield
    finally:
        for name, parameter in parameters.items():
            parameter.data = values[name]
