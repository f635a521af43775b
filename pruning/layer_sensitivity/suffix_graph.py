"""Computing only what lies behind a layer: the part of a network from the first use of some parameters on.

A network whose layer is cut differs from the dense one only from that layer on. What the layer sees, and whatever else
is still needed then (a residual branch), is computed once for all cuts of the layer.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn

from pruning.errors import describe
from pruning.model.patching import replaced_parameters
from pruning.model.units import zeroed

# outputs are those of the same operations in the same order; only a GPU may add up in another one
RTOL, ATOL = 1e-4, 1e-5


@dataclass(frozen=True, eq=False)
class Suffix:
    """What follows `start`, as a module of its own that takes the values of the nodes `needs`.

    `overwrites` says that it changes its inputs in place, so that each use takes copies.
    """

    start: fx.Node
    needs: tuple[fx.Node, ...]
    module: nn.Module
    overwrites: bool = False

    def __call__(self, values: tuple[Any, ...]) -> Tensor:
        return self.module(*copied(values) if self.overwrites else values)


class GraphWalk:
    """The dense network, node by node, stopping where suffixes begin.

    `work` is a copy of `model` whose parameters may be changed: suffixes compute with those, the walk with the model's.
    """

    def __init__(self, model: nn.Module, work: nn.Module, example: Tensor) -> None:
        self.why_not = ""
        """Why the network cannot be followed; empty if it can."""
        self._model, self._work = model, work
        self.example = example
        before = set(vars(model))
        try:
            self._traced = fx.symbolic_trace(model)
            # a tensor that forward makes of numbers becomes an attribute of what was traced
            for name in vars(model).keys() - before:
                setattr(work, name, vars(model).pop(name))
        except Exception as error:  # whatever a stranger's forward raises on symbols
            self._traced = None
            self.why_not = f"the network's forward cannot be traced ({describe(error)})"

    def suffix(self, params: Collection[str], trial: Mapping[str, Tensor]) -> Suffix | str:
        """The suffix behind the first use of the parameters; else a sentence why every cut takes full passes.

        Tried out on the example with the values `trial` (bool of a parameter's shape) set to zero.
        """
        if self._traced is None:
            return self.why_not
        owned = {id(self._model.get_parameter(name)) for name in params}
        start = next((node for node in self._traced.graph.nodes if self._uses(node, owned)), None)
        if start is None:
            return "no step of the network uses its parameters by name"
        suffix = self._behind(start)
        try:
            return self._tried(suffix, trial)
        except Exception as error:  # as above
            return f"what follows it cannot be run alone ({describe(error)})"

    @cached_property
    def end(self) -> Suffix:
        """The suffix behind everything: it takes the network's output, and that is what it gives."""
        assert self._traced is not None
        output = next(node for node in self._traced.graph.nodes if node.op == "output")
        return self._behind(output)

    def stops(self, inputs: Tensor, suffixes: Collection[Suffix]) -> Iterator[tuple[Suffix, tuple[Any, ...]]]:
        """The suffixes in the order of the network, each with the values that it takes.

        They are the walk's own: where a suffix `overwrites` them, so will the walk when it goes on.
        """
        if self._traced is None or not suffixes:
            return
        waiting: dict[fx.Node, list[Suffix]] = {}
        for suffix in suffixes:
            waiting.setdefault(suffix.start, []).append(suffix)
        last = self._last_needed(suffixes)
        machine = fx.Interpreter(self._traced, garbage_collect_values=False)
        for node in self._traced.graph.nodes:
            for suffix in waiting.pop(node, ()):
                yield suffix, tuple(machine.env[need] for need in suffix.needs)
            if not waiting:
                return
            if node.op == "placeholder" and not machine.env:
                machine.env[node] = inputs
            elif node.op == "placeholder":
                machine.env[node] = node.args[0] if node.args else None
            else:
                machine.env[node] = machine.run_node(node)
            for value in last.get(node, ()):
                machine.env.pop(value, None)

    def _uses(self, node: fx.Node, owned: set[int]) -> bool:
        if node.op == "call_module":
            module = self._model.get_submodule(str(node.target))
            return any(id(parameter) in owned for parameter in module.parameters())
        if node.op == "get_attr":
            path, _, name = str(node.target).rpartition(".")
            return id(getattr(self._model.get_submodule(path), name, None)) in owned
        return False

    def _behind(self, start: fx.Node) -> Suffix:
        assert self._traced is not None
        nodes = list(self._traced.graph.nodes)
        place = nodes.index(start)
        behind = set(nodes[place:])
        needs = tuple(node for node in nodes[:place] if any(user in behind for user in node.users))
        graph = fx.Graph()
        values: dict[fx.Node, fx.Node] = {node: graph.placeholder(node.name) for node in needs}
        for node in nodes[place:]:
            values[node] = graph.node_copy(node, lambda old: values[old])
        return Suffix(start, needs, fx.GraphModule(self._work, graph))

    def _last_needed(self, suffixes: Collection[Suffix]) -> dict[fx.Node, list[fx.Node]]:
        """Node -> values that nothing needs after it, neither the walk nor a suffix that begins later."""
        assert self._traced is not None
        nodes = list(self._traced.graph.nodes)
        place = {node: i for i, node in enumerate(nodes)}
        needed: dict[fx.Node, int] = {}
        for node in nodes:
            needed[node] = max([place[user] for user in node.users], default=place[node])
        ending: dict[fx.Node, list[fx.Node]] = {}
        for node, at in needed.items():
            ending.setdefault(nodes[at], []).append(node)
        return ending

    @torch.no_grad()
    def _tried(self, suffix: Suffix, trial: Mapping[str, Tensor]) -> Suffix | str:
        """The suffix if, on a cut network, it gives what a full pass gives; it notes whether inputs are overwritten."""
        with replaced_parameters(self._work, trial, lambda name, values: zeroed(values, trial[name])):
            expected = self._work(self.example)
            (_, values), *_ = self.stops(self.example, [suffix])
            tensors = tensors_in(values)
            before = [value._version for value in tensors]
            copies = copied(values)
            output = suffix.module(*values)
            changed = any(value._version != version for value, version in zip(tensors, before, strict=True))
            suffix = Suffix(suffix.start, suffix.needs, suffix.module, overwrites=changed)
            output = suffix(copies) if changed else output
        if output.shape == expected.shape and torch.allclose(output, expected, RTOL, ATOL, equal_nan=True):
            return suffix
        return "what follows it, run alone, gives something else than the whole network"


def copied(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A copy of every tensor in the values; of views of one tensor too, which therefore must not be overwritten."""
    return fx.node.map_aggregate(values, lambda part: part.clone() if isinstance(part, Tensor) else part)  # type: ignore[arg-type, return-value]


def tensors_in(values: tuple[Any, ...]) -> list[Tensor]:
    """Every tensor in the values, in tuples of them too."""
    found: list[Tensor] = []
    fx.node.map_aggregate(values, lambda part: found.append(part) if isinstance(part, Tensor) else None)  # type: ignore[arg-type]
    return found
