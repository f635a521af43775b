"""Who competes with whom? One class a scope, one line in the table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Scope(Protocol):
    """Says which groups share a pool: units fall lowest score first within their pool."""

    def pools(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        """The names of the groups of every pool; each name is in one pool."""
        ...


@dataclass(frozen=True)
class Global:
    """All units of the model compete with one another."""

    def pools(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        return [tuple(names)] if names else []


@dataclass(frozen=True)
class Layer:
    """The units of each layer compete among themselves; every layer loses the same share."""

    def pools(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        return [(name,) for name in names]


SCOPES: dict[str, type[Scope]] = {"global": Global, "layer": Layer}
