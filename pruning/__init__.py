"""Prune a trained network, fine-tune it, and take it home as files that were verified.

    import pruning
    result = pruning.prune(model, train=(x, y), validation=(xv, yv), test=(xt, yt), sparsity=0.8)
    result.save("out/")

The names in `__all__` are the library's promise; they are imported when they are first used, so that
`import pruning.recipe.recipe` or a command's help does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pruning.api.load_file import load
    from pruning.api.preview_cut import Preview, preview
    from pruning.api.prune_model import prune
    from pruning.api.result import PruningResult, Saved
    from pruning.api.score_units import scores
    from pruning.api.search_levels import SearchResult, search
    from pruning.api.sensitivity_map import SensitivityMap, sensitivity
    from pruning.errors import PruningError
    from pruning.metric import Metric
    from pruning.recipe.recipe import Recipe
    from pruning.workload import Classification, Split, Task, TensorSplit, Workload

__version__ = "0.1.0"

__all__ = [
    "Classification",
    "Metric",
    "Preview",
    "PruningError",
    "PruningResult",
    "Recipe",
    "Saved",
    "SearchResult",
    "SensitivityMap",
    "Split",
    "Task",
    "TensorSplit",
    "Workload",
    "__version__",
    "load",
    "preview",
    "prune",
    "scores",
    "search",
    "sensitivity",
]

_MODULES = {
    "Classification": "pruning.workload",
    "Metric": "pruning.metric",
    "Preview": "pruning.api.preview_cut",
    "PruningError": "pruning.errors",
    "PruningResult": "pruning.api.result",
    "Recipe": "pruning.recipe.recipe",
    "Saved": "pruning.api.result",
    "SearchResult": "pruning.api.search_levels",
    "SensitivityMap": "pruning.api.sensitivity_map",
    "Split": "pruning.workload",
    "Task": "pruning.workload",
    "TensorSplit": "pruning.workload",
    "Workload": "pruning.workload",
    "load": "pruning.api.load_file",
    "preview": "pruning.api.preview_cut",
    "prune": "pruning.api.prune_model",
    "scores": "pruning.api.score_units",
    "search": "pruning.api.search_levels",
    "sensitivity": "pruning.api.sensitivity_map",
}
"""Public name -> the module that has it. No folder may have one of these names: it would hide the function."""


def __getattr__(name: str) -> Any:
    """A public name, imported at its first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'pruning' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
