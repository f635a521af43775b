"""Every public name is on the page of the library, and its docstring says what a caller needs, in Google's format.

That the examples give what they say is tested in tests/api.
"""

import dataclasses
import inspect
import re
from typing import Any

import pytest
from griffe import Docstring, DocstringSectionKind

import pruning
from pruning.options.docstrings import field_docs
from tests.docs.pages import REFERENCE, headings

PUBLIC = {name: getattr(pruning, name) for name in pruning.__all__}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}
CLASSES = {name: value for name, value in PUBLIC.items() if inspect.isclass(value)}
METHODS = {
    f"{name}.{method}": member
    for name, made in CLASSES.items()
    for method, member in vars(made).items()
    if not method.startswith("_")
    and (inspect.isfunction(member) or isinstance(member, property))
    and method not in getattr(made, "__dataclass_fields__", ())
}


def sections(value: object) -> dict[DocstringSectionKind, Any]:
    parsed = Docstring(inspect.getdoc(value) or "").parse("google", warnings=False)
    return {section.kind: section.value for section in parsed}


def test_every_public_name_has_a_heading_on_the_page_of_the_library_and_no_other() -> None:
    """`::: pruning.NAME` becomes a heading with what the docstring says."""
    page = REFERENCE / "api.md"
    rendered = re.findall(r"^::: pruning\.(\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted([*rendered, "__version__"]) == sorted(pruning.__all__)
    assert "__version__" in headings(page)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_takes_gives_and_raises_and_shows_an_example(name: str) -> None:
    found, signature = sections(FUNCTIONS[name]), inspect.signature(FUNCTIONS[name])
    assert {argument.name for argument in found[DocstringSectionKind.parameters]} == set(signature.parameters)
    assert found[DocstringSectionKind.returns] and found[DocstringSectionKind.raises]
    assert any(kind is DocstringSectionKind.examples for kind, _ in found[DocstringSectionKind.examples])


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_says_what_it_is_and_what_each_field_means(name: str) -> None:
    made = CLASSES[name]
    found = sections(made)
    assert found[DocstringSectionKind.text]
    if dataclasses.is_dataclass(made):
        attributes = {attribute.name for attribute in found.get(DocstringSectionKind.attributes, [])}
        fields = {field.name for field in dataclasses.fields(made) if not field.name.startswith("_")}
        assert fields == attributes | field_docs(made).keys()


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_what_it_does(name: str) -> None:
    assert inspect.getdoc(METHODS[name])
