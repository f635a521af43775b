"""Weights drawn anew, as torch's layers draw theirs when they are made."""

import torch
from torch import nn

from pruning.errors import RecipeError
from pruning.model.devices import drawn_by


def cannot_draw(model: nn.Module) -> str:
    """The first module that holds parameters of its own and cannot draw them anew; empty if there is none."""
    for name, module in model.named_modules():
        if not _draws(module) and next(module.parameters(recurse=False), None) is not None:
            return name or type(module).__name__
    return ""


def require_drawing(model: nn.Module) -> None:
    """RecipeError that names a module whose weights cannot be drawn anew."""
    if name := cannot_draw(model):
        raise RecipeError(
            f"{name} holds parameters of its own and has no reset_parameters(), so its weights cannot be drawn anew: "
            "give the module that method, or choose start trained and a rewind that draws nothing"
        )


@torch.no_grad()
def draw_anew(model: nn.Module, seed: int, device: torch.device) -> None:
    """Draw all weights anew in place, norms with their statistics too; the global generators stay as they were."""
    with drawn_by(seed, device):
        # parts first: a module may draw once more what its parts have drawn
        for module in reversed(list(model.modules())):
            draw = getattr(module, "reset_parameters", getattr(module, "_reset_parameters", None))
            if draw is not None:
                draw()


def _draws(module: nn.Module) -> bool:
    """torch's attention hides its way to draw behind an underscore."""
    return hasattr(module, "reset_parameters") or hasattr(module, "_reset_parameters")
