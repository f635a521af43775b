"""Which models there are. The composition root fills it in, since the library knows of none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pruning.cli.workload_file import FORM, is_reference, load_workload, source_of
from pruning.errors import RecipeError
from pruning.exporters.workload_source import Called
from pruning.workload import Workload, Workloads


class Card(Protocol):
    """What was measured of a model when it was trained. Accuracies are shares of 1, MACs are for one sample."""

    @property
    def data(self) -> str: ...
    @property
    def parameters(self) -> int: ...
    @property
    def macs(self) -> int: ...
    @property
    def test_accuracy(self) -> float: ...
    @property
    def validation_accuracy(self) -> float: ...


@dataclass(frozen=True)
class Catalogue:
    """The sample models, how to read a model's card without reading its data, and where another process gets it."""

    workloads: Workloads
    card: Callable[[str], Card]
    sample: Callable[[str], Called]

    def find(self, name: str) -> Workload:
        """The sample model of that name. RecipeError names those that there are."""
        if name not in self.workloads:
            known = ", ".join(self.workloads)
            raise RecipeError(f"workload is {name!r}; use one of {known}, or --workload FILE.py:NAME for your own")
        return self.workloads[name]()

    def open(self, reference: str) -> Workload:
        """What a person typed: a sample model's name, or FILE.py:NAME."""
        if is_reference(reference):
            return load_workload(reference)
        if reference not in self.workloads:
            raise RecipeError(f"model is {reference!r}; use one of {', '.join(self.workloads)}, or {FORM}")
        return self.workloads[reference]()

    def source(self, reference: str) -> Called:
        """Where another process gets what `open` opens."""
        return source_of(reference) if is_reference(reference) else self.sample(reference)
