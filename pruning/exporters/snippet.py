"""How to use an exported file without this project: a few lines of plain Python."""

import sys
from pathlib import Path

from torch import nn

from pruning.exporters.weights_safetensors import Safetensors


def loading_snippet(model: nn.Module, input_shape: tuple[int, ...]) -> str:
    """Python that loads the exported tensors into the model's class. `input_shape` is one sample's, [1, *input].

    A class that has a classmethod `fitting(tensors)` is made by it in the size of the tensors.
    """
    made = type(model)
    ready_made = made.__module__.startswith("torch.")
    lines = ["import torch", "from safetensors.torch import load_file", ""]
    if not ready_made:
        lines[2:2] = [f"from {_importable(made)} import {made.__name__}  # or paste the class here"]
    lines += [f'tensors = load_file("{Safetensors.file}")']
    if hasattr(made, "fitting"):
        lines += [f"model = {made.__name__}.fitting(tensors)"]
    else:
        lines += [
            f"model = {'...' if ready_made else made.__name__ + '(...)'}  # made with the sizes in the table below",
            "model.load_state_dict(tensors)",
        ]
    sizes = ", ".join(["n", *map(str, input_shape[1:])])
    lines += [
        "model.eval()",
        "with torch.no_grad():",
        f"    output = model(inputs)  # [{sizes}], prepared as in training",
    ]
    return "\n".join(lines)


def _importable(made: type[nn.Module]) -> str:
    """The module's name in an import; a workload file is imported under a private name, so it is called as its file."""
    file = getattr(sys.modules.get(made.__module__), "__file__", None)
    return Path(file).stem if file and made.__module__.startswith("_") else made.__module__
