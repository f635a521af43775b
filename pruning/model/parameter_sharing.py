"""Parameters that several modules share, and why units that own a part of one must stay."""

from collections.abc import Sequence

from torch import nn


def every_path(model: nn.Module) -> dict[str, list[str]]:
    """Parameter name -> all names of the same tensor, for every name that there is.

    A tensor has several where modules share it, and where one module has several parents.
    """
    found: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter.numel():
            found.setdefault(parameter.data_ptr(), []).append(name)
    return {name: names for names in found.values() for name in names}


def shared_parameters(model: nn.Module) -> dict[str, str]:
    """Parameter name -> a name of the same tensor in another module, or by another word, for each that has one.

    A module that has several parents is one module.
    """

    def place(path: str) -> tuple[nn.Module, str]:
        layer, _, word = path.rpartition(".")
        return model.get_submodule(layer), word

    elsewhere = {
        name: [path for path in paths if len(paths) > 1 and place(path) != place(name)]
        for name, paths in every_path(model).items()
    }
    return {name: paths[0] for name, paths in elsewhere.items() if paths}


def _homes(model: nn.Module, module: nn.Module) -> list[str]:
    """What the names of all that lies in the module begin with: one beginning for each of its parents."""
    names = [name for name, other in model.named_modules(remove_duplicate=False) if other is module]
    return [f"{name}." if name else "" for name in names]


def shared_outside(model: nn.Module, module: nn.Module) -> dict[str, str]:
    """Name of a parameter within the module -> a name that it has outside of it, for every one that has such a name.

    A module that is called in several places lies within itself at each of them.
    """
    homes = tuple(_homes(model, module))
    found: dict[str, str] = {}
    for name, paths in every_path(model).items():
        outside = [path for path in paths if not path.startswith(homes)]
        if outside and name.startswith(homes):
            found[name] = outside[0]
    return found


def why_kept_whole(model: nn.Module, module: nn.Module, weights: Sequence[str], follows: Sequence[str] = ()) -> str:
    """Why units that own a part of each of these parameters of the module must stay; "" where they may be pruned.

    Each must have one place in the module and none outside of it; the weights must not be frozen.
    """
    homes, paths = _homes(model, module), every_path(model)
    for param in (*weights, *follows):
        within = next(param.removeprefix(home) for home in homes if param.startswith(home))
        other = [path for path in paths.get(param, []) if path not in [home + within for home in homes]]
        if other:
            return f"its units own a part of {param}, which is shared with {other[0]}: they always stay"
        if param in weights and not model.get_parameter(param).requires_grad:
            return f"its units own a part of {param}, which is frozen: set requires_grad to True there"
    return ""
