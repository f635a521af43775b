"""An operation without a rule."""

from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map

from pruning.model.labels.marks import Marks
from pruning.model.labels.rules.call import Call


def unknown(call: Call) -> Any:
    """An operation that is not in the table: what goes in stays whole."""
    why = f"what torch's {call.name} makes of its units is not known ({call.relations.here}): they always stay"
    for tensor in call.tensors():
        for plane in call.marks_of(tensor).planes:
            call.relations.lock(plane.labels, why)
    made = Marks((), call.data())

    def mark(value: object) -> Marks | None:
        return made if isinstance(value, Tensor) else None

    return tree_map(mark, call.result)
