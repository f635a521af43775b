"""What every exporter is, and what it is given."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import nn

from pruning.events import Event
from pruning.exporters.workload_source import WorkloadSource
from pruning.model.module_sizes import ModuleSizes
from pruning.recipe.recipe import Recipe
from pruning.workload import Workload


@dataclass(frozen=True, eq=False)
class Record:
    """A run as far as it has come: what was pruned, how, the model that it left, and its events in their order.

    `sizes` are what the dense model has to be told, besides tensors, to become this one; `source` is where a fresh
    process gets the workload.
    """

    workload: Workload
    recipe: Recipe
    model: nn.Module
    device: str
    events: tuple[Event, ...]
    sizes: ModuleSizes
    source: WorkloadSource


class Exporter(Protocol):
    """Makes one file. `file` is its name in the output folder."""

    file: ClassVar[str]

    def content(self, record: Record) -> bytes:
        """The whole file."""
        ...
