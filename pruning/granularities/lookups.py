"""Whether a weight is only looked up in. Then rows of it can go: who looks up is told which there are."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pruning.model.labels.tracing import inside_modules, memory_of
from pruning.model.narrow_layers import NarrowEmbedding
from pruning.model.patching import evaluating, training_tried


def more_than_lookups(model: nn.Module, example: Tensor, params: Sequence[str]) -> dict[str, str]:
    """Weight of an embedding -> what else it is than a table that its layer looks up in; "" where it is nothing else.

    Tried out on the example, and on two of it in train mode where the network runs so.
    """
    uses = _Uses({memory_of(model.get_parameter(param)): param for param in params})
    with torch.no_grad(), evaluating(model), inside_modules(model) as uses.path, uses:
        model(example)
    drawn = torch.random.fork_rng(devices=[])
    try:
        with torch.no_grad(), drawn, training_tried(model), inside_modules(model) as uses.path, uses:
            model(torch.cat([example, example]))
    except Exception:  # whatever a stranger's forward raises: fine-tuning says so
        pass
    return {param: _more(model, param.rpartition(".")[0], uses.found[param]) for param in params}


def _more(model: nn.Module, name: str, uses: Mapping[str, str]) -> str:
    layer = model.get_submodule(name)
    if type(layer) not in (nn.Embedding, NarrowEmbedding):
        return f"{name} is of class {type(layer).__name__}, which may do more than look its rows up"
    if getattr(layer, "max_norm", None) is not None or getattr(layer, "scale_grad_by_freq", False):
        return f"{name} changes its rows or their gradients by what else is looked up"
    if not uses:
        return f"the network does not use {name} on the example"
    other = next(((path, does) for path, does in uses.items() if path != name or does != LOOKED_UP), None)
    if other is None:
        return ""
    does = "looks rows of its weight up too" if other[1] == LOOKED_UP else f"does more with its weight ({other[1]})"
    return f"{other[0] or 'the model itself'} {does}"


LOOKED_UP = "embedding"


class _Uses(TorchDispatchMode):
    """Notes for each parameter, by its memory, which modules do what with it: another than to look up, if one does."""

    def __init__(self, params: Mapping[int, str]) -> None:
        super().__init__()
        self.found: dict[str, dict[str, str]] = {param: {} for param in params.values()}
        self.path: list[str] = [""]
        self._params = params

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler to keep it out: nothing is compiled here

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        for value in tree_leaves((args, kwargs)):
            param = self._params.get(memory_of(value)) if isinstance(value, Tensor) and not value.is_sparse else None
            if param is not None and self.found[param].get(self.path[-1], LOOKED_UP) == LOOKED_UP:
                self.found[param][self.path[-1]] = name
        return func(*args, **kwargs)
