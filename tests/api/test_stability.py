"""What docs/reference/api.md calls stable is still there: names, parameters, attributes and methods.

Something new may come without a change here; add it once it is released. What is to go is deprecated first: the page
says how. Only a release that may remove it takes it out of these tables.
"""

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

import pruning
import pruning.testing
from pruning import errors
from pruning.errors import PruningError

CALLS = {
    "load": "file model * example device",
    "prune": "model * train validation test sparsity criterion granularity scope amount schedule epochs tuning "
    "keep_whole seed recipe task device progress repair distillation start rewind regulariser",
    "preview": "model data * sparsity criterion granularity scope amount keep_whole seed recipe task example device",
    "scores": "model data * criterion granularity seed task example device",
    "sensitivity": "model data * criterion granularity repair levels half_width max_drop seed task device progress",
    "search": "model * train validation cost budget max_drop criterion granularity repair keep_whole seconds batch "
    "latencies seed task device progress",
    "Recipe": "workload criterion granularity scope amount schedule tuning keep_whole seed repair distillation "
    "start rewind regulariser",
    "Workload": "name build example train validation test task data checkpoints teachers",
    "TensorSplit": "inputs targets prepare augment",
    "Classification": "classes",
    "Metric": "name better low high",
}
"""Public name -> the parameters that a call of it may give; those after * only by name."""

MEMBERS = {
    "PruningResult": "model recipe keep stages events stopped seconds workload device notes table figure save",
    "Saved": "files stages verified notes",
    "Preview": "recipe layers keep masks dense units pruned parameters nonzero bytes macs kept table",
    "SearchResult": "found best recipe met table plot",
    "SensitivityMap": "map recipe max_drop cuts plot suggest table",
    "Recipe": "workload criterion granularity scope amount schedule tuning keep_whole seed repair distillation "
    "start rewind regulariser name",
    "Workload": "name build example train validation test task data checkpoints teachers",
    "TensorSplit": "inputs targets prepare augment batch",
    "Split": "batch",
    "Task": "classes loss judge",
    "Classification": "classes loss judge",
    "Metric": "name better low high",
}
"""Public class -> its attributes and methods."""

ERRORS = "PruningError RecipeError WorkloadError SurgeryError PatienceError ExportError JobError"

CONTRACTS = {
    "CriterionContract": "criterion workload granularity",
    "DescriptionContract": "criterion",
    "ScoringContract": "criterion workload granularity",
    "GranularityContract": "granularity workload",
    "UnitsContract": "granularity",
    "GroupingContract": "granularity workload",
    "RemovalContract": "granularity workload",
    "ExporterContract": "exporter workload",
    "WeightsContract": "exporter workload read",
    "WorkloadContract": "workload",
}
"""Class of tests -> the attributes that your own class sets."""


def broken_calls(call: Callable[..., Any], promised: str) -> list[str]:
    """What a call in the promised form would find missing: parameters, places, and defaults of what is new."""
    by_place, _, by_name = (part.split() for part in promised.partition("*"))
    found = inspect.signature(call).parameters
    places = [name for name, each in found.items() if each.kind is not each.KEYWORD_ONLY]
    missing = [name for name in [*by_place, *by_name] if name not in found]
    moved = [name for place, name in enumerate(by_place) if places[place : place + 1] != [name]]
    needed = [name for name, each in found.items() if each.default is each.empty]
    return missing + moved + [name for name in needed if name not in by_place + by_name]


def members(made: type[Any]) -> set[str]:
    own = {field.name for field in fields(made)} if is_dataclass(made) else set[str]()
    annotated = {name for base in made.__mro__ for name in inspect.get_annotations(base)}
    return own | annotated | set(dir(made))


def test_every_public_name_is_in_the_tables() -> None:
    assert set(pruning.__all__) == {*CALLS, *MEMBERS, "PruningError", "__version__"}
    assert set(pruning.testing.__all__) == CONTRACTS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_calls_that_worked_still_work(name: str) -> None:
    assert broken_calls(getattr(pruning, name), CALLS[name]) == []


@pytest.mark.parametrize("name", MEMBERS)
def test_attributes_and_methods_are_still_there(name: str) -> None:
    assert set(MEMBERS[name].split()) - members(getattr(pruning, name)) == set()


def test_the_classes_of_errors_are_still_there() -> None:
    assert all(issubclass(getattr(errors, name), PruningError) for name in ERRORS.split())


@pytest.mark.parametrize("name", CONTRACTS)
def test_contracts_still_have_the_same_attributes(name: str) -> None:
    assert set(CONTRACTS[name].split()) - members(getattr(pruning.testing, name)) == set()


def test_what_would_break_a_call_is_found() -> None:
    def call(model: object, new: object, data: object = None, *, seed: int = 0, needed: int) -> None: ...

    assert broken_calls(call, "model data * seed device") == ["device", "data", "new", "needed"]
    assert broken_calls(call, "model new data * needed seed") == []
