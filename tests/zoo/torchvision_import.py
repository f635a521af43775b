"""torchvision, imported where its compiled operators do not load."""

from importlib import import_module
from typing import Any

import torch


def import_torchvision() -> None:
    """Import the package, which timm and transformers need too; its networks are plain Python.

    A wheel's compiled operators (non-maximum suppression and the like) may not load with a build of torch for CPUs
    alone. The import then fails where it declares what they return, which only they need.
    """
    try:
        import_module("torchvision")
        return
    except RuntimeError:  # operator torchvision::nms does not exist
        pass
    declare = torch.library.register_fake

    def declare_others(operator: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(operator, str) and operator.startswith("torchvision::"):
            return lambda function: function
        return declare(operator, *args, **kwargs)

    torch.library.register_fake = declare_others
    try:
        import_module("torchvision")
    finally:
        torch.library.register_fake = declare
