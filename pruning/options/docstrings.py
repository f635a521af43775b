"""The sentences that stand under the fields of the recipe's dataclasses, so that help shows what the code says."""

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise


@cache
def field_docs(made: type[object]) -> dict[str, str]:
    """Field name -> its docstring on one line, of the fields that have one; empty where Python has no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(made)))
    except (OSError, TypeError, SyntaxError):  # typed into a notebook, made by exec, or not to be read by itself
        return {}
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    docs: dict[str, str] = {}
    for field, below in pairwise(body):
        text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, str):
            docs[field.target.id] = " ".join(text.split())
    return docs


def first_paragraph(made: type[object]) -> str:
    """What the class is, on one line."""
    return " ".join((inspect.getdoc(made) or "").split("\n\n")[0].split())
