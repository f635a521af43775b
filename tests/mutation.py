"""A pytest plugin for `make mutants`: fewer examples, no search for smaller ones, and the quick tests first.

A mutant is noticed by the first test that fails, so what matters is how soon that is.
"""

import json
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.conftest import PROFILE

DURATIONS = Path("mutmut-stats.json")  # written by mutmut, which runs the tests in its own copy of the repository


def pytest_configure() -> None:
    quick = settings(PROFILE, max_examples=30, phases=[Phase.explicit, Phase.generate], database=None)
    settings.register_profile("mutants", quick)
    settings.load_profile("mutants")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if DURATIONS.exists():
        seconds = json.loads(DURATIONS.read_text())["duration_by_test"]
        items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))
