"""A pickle walked through without building anything: what it would make, as plain values and names.

Only what torch.save writes of a state dict, or of a checkpoint around it, is followed. A tensor is made by calls; here
a call is a value that names what would be called. Nothing is hashed but text, nothing is compared, and nothing is
walked into: a key of nested tuples, which takes torch's own reader for ever, is just a wrong key.
"""

import pickletools
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any

from pruning.errors import WorkloadError
from pruning.files.preflight.limits import STEPS
from pruning.files.shown import shown

ORDERED = "collections OrderedDict"
NESTING = 8
"""Tuples in tuples: the arguments of a tensor need three."""


@dataclass(slots=True, eq=False)
class Name:
    """A function or class that the pickle names, `module name`. It is never looked up."""

    name: str


@dataclass(slots=True, eq=False)
class Call:
    """What would be called with what."""

    name: str
    arguments: tuple[Any, ...]


@dataclass(slots=True, eq=False)
class Storage:
    """The bytes that a tensor looks into: `persistent` is what torch is told of them."""

    persistent: object


@dataclass(slots=True, eq=False)
class Entries:
    """A dict, or an OrderedDict: values by their name, the first other key as text, and the attributes it was given."""

    values: dict[str, Any] = field(default_factory=dict[str, Any])
    odd_key: str = ""
    attributes: "Entries | None" = None


class Items(list[Any]):
    """A list, which no tensor has."""


@dataclass(slots=True, eq=False)
class Nested:
    """A tuple and how deep tuples lie in it."""

    items: tuple[Any, ...]
    depth: int


@dataclass(frozen=True, eq=False)
class Walked:
    """What the pickle would return, and all that would be called and read on the way, also where it is then dropped."""

    result: Any
    calls: tuple[Call, ...]
    storages: tuple[Storage, ...]


class _Wrong(Exception):
    """The steps do not go together: the file is damaged, or was made to be."""


def walk(content: bytes, names: Container[str]) -> Walked:
    """What the pickle would make, if it names nothing but these. WorkloadError says what in it is not read."""
    machine = _Machine(names)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if count >= STEPS:
                raise WorkloadError(
                    f"its pickle takes more than {STEPS} steps; save the state dict of one network, or .safetensors"
                )
            step = machine.steps.get(opcode.name)
            if step is None:
                raise WorkloadError(_unknown(opcode.name))
            step(argument)
    except (ValueError, _Wrong) as error:
        raise _damaged(shown(str(error), 100)) from None
    except (IndexError, KeyError):
        raise _damaged("a value is missing") from None
    return Walked(machine.result, tuple(machine.calls), tuple(machine.storages))


def _damaged(what: str) -> WorkloadError:
    return WorkloadError(f"not a readable weights file (its pickle: {what}); save model.state_dict()")


def _unknown(opcode: str) -> str:
    if opcode in ("NEWOBJ", "NEWOBJ_EX", "OBJ", "INST"):
        return "it holds a whole pickled object, and no code is run to read weights; save model.state_dict()"
    return f"its pickle has the step {opcode}, which no state dict of torch.save has; save model.state_dict()"


class _Machine:
    """The unpickler's stack, of what would be there."""

    def __init__(self, names: Container[str]) -> None:
        self.result: Any = None
        self.calls: list[Call] = []
        self.storages: list[Storage] = []
        self._names = names
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        plain = ("BINUNICODE", "BININT", "BININT1", "BININT2", "BINFLOAT", "LONG1", "SHORT_BINSTRING")
        self.steps: dict[str, Callable[[Any], None]] = {
            "PROTO": self._protocol, "MARK": self._mark, "STOP": self._stop, "GLOBAL": self._name,
            **dict.fromkeys(plain, self._push),
            "NONE": lambda _: self._push(None), "NEWTRUE": lambda _: self._push(True),
            "NEWFALSE": lambda _: self._push(False), "EMPTY_DICT": lambda _: self._push(Entries()),
            "EMPTY_LIST": lambda _: self._push(Items()), "EMPTY_TUPLE": lambda _: self._push(Nested((), 1)),
            "TUPLE": lambda _: self._tuple(self._marked()), "TUPLE1": lambda _: self._tuple(self._last(1)),
            "TUPLE2": lambda _: self._tuple(self._last(2)), "TUPLE3": lambda _: self._tuple(self._last(3)),
            "BINPUT": self._keep, "LONG_BINPUT": self._keep, "BINGET": self._again, "LONG_BINGET": self._again,
            "SETITEM": lambda _: self._set(self._last(2)), "SETITEMS": lambda _: self._set(self._marked()),
            "APPEND": lambda _: self._append(self._last(1)), "APPENDS": lambda _: self._append(self._marked()),
            "BINPERSID": self._storage, "REDUCE": self._call, "BUILD": self._attributes,
        }  # fmt: skip

    def _protocol(self, number: int) -> None:
        if number != 2:
            raise WorkloadError(f"it is pickled by protocol {number}; save it by torch.save without pickle_protocol")

    def _name(self, name: str) -> None:
        if name not in self._names:
            raise WorkloadError(
                f"it holds a pickled {shown(name.replace(' ', '.'))}, and no code is run to read weights; save "
                "model.state_dict(), or a .safetensors file"
            )
        self._stack.append(Name(name))

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _mark(self, _: object) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _marked(self) -> list[Any]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def _last(self, number: int) -> list[Any]:
        if len(self._stack) < number:
            raise _Wrong("a value is missing")
        items = self._stack[-number:]
        del self._stack[-number:]
        return items

    def _tuple(self, items: list[Any]) -> None:
        depth = 0
        for item in items:
            if type(item) is Nested and item.depth > depth:
                depth = item.depth
        if depth >= NESTING:
            raise WorkloadError(f"it has tuples in tuples, more than {NESTING} deep; save model.state_dict()")
        self._stack.append(Nested(tuple(items), depth + 1))

    def _keep(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    def _again(self, place: int) -> None:
        self._stack.append(self._memo[place])

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, Entries) or len(items) % 2:
            raise _Wrong("a value is put where nothing can be put")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, str):
                if key in target.values:
                    raise WorkloadError(f"{shown(key)} is in it twice; save model.state_dict()")
                target.values[key] = value
            elif type(key) is int:  # an optimiser's state has numbers
                target.odd_key = target.odd_key or f"the number {str(key)[:20]}"
            else:  # whatever else is hashed takes its time
                raise WorkloadError("a key of it is neither a name nor a number; save model.state_dict()")

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, Items):
            raise _Wrong("a value is put where nothing can be put")
        target.extend(items)

    def _storage(self, _: object) -> None:
        self.storages.append(Storage(self._stack.pop()))
        self._stack.append(self.storages[-1])

    def _call(self, _: object) -> None:
        name, arguments = self._last(2)
        if not isinstance(name, Name) or not isinstance(arguments, Nested):
            raise _Wrong("what is called is no function")
        if name.name == ORDERED and not arguments.items:
            self._stack.append(Entries())
            return
        self.calls.append(Call(name.name, arguments.items))
        self._stack.append(self.calls[-1])

    def _attributes(self, _: object) -> None:
        state, target = self._last(1)[0], self._stack[-1]
        if not isinstance(target, Entries) or not isinstance(state, Entries) or state.values.keys() - {"_metadata"}:
            raise WorkloadError(
                "it gives attributes to what it holds, which can hide its values; save model.state_dict()"
            )
        target.attributes = state

    def _stop(self, _: object) -> None:
        self.result = self._stack.pop()
