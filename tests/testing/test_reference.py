"""The page of contract suites lists every contract with its tests, and no others."""

import re
from pathlib import Path

import pytest

import pruning.testing

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "contracts.md"
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S))


def test_every_contract_has_a_heading_and_no_other() -> None:
    assert sorted(SECTIONS) == sorted(pruning.testing.__all__)


@pytest.mark.parametrize("name", pruning.testing.__all__)
def test_the_tests_of_a_contract_are_listed(name: str) -> None:
    tests = [test for test in vars(getattr(pruning.testing, name)) if test.startswith("test_")]
    listed = re.findall(r"^- (.+)$", SECTIONS[name], re.MULTILINE)
    assert [f"test_{line.replace(' ', '_')}" for line in listed] == tests
