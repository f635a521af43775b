"""What holds of every network and every granularity, checked on one grown network at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from benchmarks.grown_blocks.parts import Averaging
from benchmarks.grown_networks import GrownNetwork, Plan, grown, samples_of
from benchmarks.surgery_files import check_loading, check_snippet, record_of
from pruning.errors import describe
from pruning.granularities import GRANULARITIES
from pruning.model.layer_table import prunable_weights
from pruning.model.patching import replaced_forwards, replaced_parameters
from pruning.model.surgery import largest_difference, masked_copy, remove_units
from pruning.model.units import Keep, Piece, Slice, UnitGroup
from pruning.testing.granularities import check_every_row_is_accounted_for
from pruning.testing.junk import junked_copy
from pruning.testing.untouched import untouched

ROUNDING = 1e-9
"""Of the largest output: what two float64 networks that compute the same may differ by."""


Property = Literal["grouping", "refusal", "junk", "removal", "loading", "snippet"]


@dataclass(frozen=True)
class Failure:
    """A property that does not hold of a network with a granularity, and what was seen."""

    granularity: str
    violated: Property
    seen: str

    def __str__(self) -> str:
        return f"{self.granularity}, {self.violated}: {self.seen}"

    def recurs(self, plan: Plan) -> bool:
        """Whether the same property does not hold of the plan's network either."""
        return any(
            (found.granularity, found.violated) == (self.granularity, self.violated) for found in checked(plan).failures
        )


@dataclass
class Checked:
    """What was found of one network.

    Attributes:
        failures: Every property that does not hold.
        grouped: Granularity -> prunable rows that lie in a group.
        refused: Granularity -> the sentence of each row that lies in none, by the row's name.
        removed: Units that were taken out.
    """

    failures: list[Failure] = field(default_factory=list[Failure])
    grouped: dict[str, int] = field(default_factory=dict[str, int])
    refused: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    removed: int = 0


def checked(plan: Plan, granularities: Collection[str] = tuple(GRANULARITIES), loading: bool = True) -> Checked:
    """The properties on the plan's network; nothing is raised. `loading`: what is written is also loaded again."""
    found, model, inputs = Checked(), grown(plan), samples_of(plan, 4)
    for name in granularities:
        granularity, groups = GRANULARITIES[name](), list[UnitGroup]()
        with _failures(found, name, "grouping"), untouched(model):
            groups, reasons = granularity.sorted_out(model, inputs[:1])
            check_every_row_is_accounted_for(model, groups, reasons)
            found.grouped[name] = sum(len(group.members) for group in groups)
            found.refused[name] = reasons
            with _failures(found, name, "refusal"):
                check_refusals(model, inputs, reasons)
        keep = drawn_keep(groups, plan.seed)
        # single weights and blocks of layers are read by nobody
        if groups and all(isinstance(piece, Slice) for group in groups for piece in group.pieces):
            with _failures(found, name, "junk"):
                check_junk(model, inputs, groups, keep, granularity.removable)
        if groups and granularity.removable:
            with _failures(found, name, "removal"), untouched(model):
                masked = masked_copy(model, groups, keep)
                smaller = remove_units(masked, inputs[:1], groups, keep)
                check_removal(model, masked, smaller, inputs)
                found.removed += sum(int((~keep[group.name]).sum()) for group in groups if not group.fixed)
                if loading:
                    record = record_of(plan, smaller)
                    with _failures(found, name, "loading"):
                        check_loading(record, inputs)
                    with _failures(found, name, "snippet"):
                        check_snippet(record, plan, inputs)
    return found


@contextmanager
def _failures(found: Checked, granularity: str, violated: Property) -> Generator[None]:
    """Note what the block raises as a failure."""
    try:
        yield
    except Exception as error:  # the code under test may raise anything
        seen = str(error) if isinstance(error, AssertionError) else describe(error)
        found.failures.append(Failure(granularity, violated, seen))


def drawn_keep(groups: Sequence[UnitGroup], seed: int) -> Keep:
    """A random share of each group's units, at least one of them."""
    draw = torch.Generator().manual_seed(seed)
    keep: dict[str, Tensor] = {}
    for group in groups:
        stays = torch.rand(group.units, generator=draw) < torch.rand((), generator=draw)
        stays[torch.randint(group.units, (), generator=draw)] = True
        keep[group.name] = stays
    return keep


@torch.no_grad()
def check_refusals(model: GrownNetwork, inputs: Tensor, reasons: Mapping[str, str]) -> None:
    """AssertionError if a weight is said to be out of use, and yet the output is another with another weight."""
    expected = model(inputs)
    for weight in prunable_weights(model):
        if "does not use it" in reasons.get(weight.name, ""):
            with replaced_parameters(model, [weight.param], lambda _, values: 2 * values + 1):
                output = model(inputs)
            assert torch.equal(output, expected), f"{weight.name} is in use, and the reason says that it is not"


@torch.no_grad()
def check_junk(
    model: GrownNetwork, inputs: Tensor, groups: Sequence[UnitGroup], keep: Keep, removable: bool = True
) -> None:
    """AssertionError if junk in what reads pruned units, or in what writes them, changes the output by a bit.

    What writes them is tried where the units are `removable`, for only then all that reads them is known; not of words,
    which are looked up and not read; and where nothing is made of all units together, which sees the junk.
    """
    readers = [piece for group in groups for piece in group.pieces if _reads(model, piece)]
    expected = masked_copy(model, groups, keep)(inputs)
    if not model.moves_zero:
        output = junked_copy(model, groups, keep, readers)(inputs)
        assert torch.equal(output, expected), "junk in what reads pruned units changes the output"
    if model.sees_all or not removable:
        return
    known = [group for group in groups if not group.fixed and not all(_looked_up(model, p) for p in group.pieces)]
    written = [piece for group in known for piece in group.pieces if not _reads(model, piece)]
    if not torch.equal(junked_copy(model, groups, keep, written)(inputs), expected):
        # rightly so where both queries and keys are junk: their product is. Then one at a time
        for group in known:
            _check_writers(model, inputs, group, keep)


def _looked_up(model: GrownNetwork, piece: Piece) -> bool:
    layer = model.get_submodule(piece.param.rpartition(".")[0])
    return isinstance(layer, nn.Embedding | nn.EmbeddingBag) and isinstance(piece, Slice) and piece.dim == 0


def _reads(model: GrownNetwork, piece: Piece) -> bool:
    return isinstance(piece, Slice) and model.reads(piece.param, piece.dim)


def _check_writers(model: GrownNetwork, inputs: Tensor, group: UnitGroup, keep: Keep) -> None:
    """As above, for one slice of each unit after the other."""
    apart = replace(group, ranked=tuple(column for piece in group.pieces for column in _columns(piece)), follows=())
    expected = masked_copy(model, [apart], keep)(inputs)
    for piece in apart.pieces:
        if not _reads(model, piece):
            output = junked_copy(model, [apart], keep, [piece])(inputs)
            assert torch.equal(output, expected), f"{group.name}: junk in {piece.param} is read by somebody"


def _columns(piece: Piece) -> Iterator[Slice]:
    """One slice of each unit at a time."""
    assert isinstance(piece, Slice)
    for column in piece.index.T:
        yield Slice(piece.param, piece.dim, column[:, None])


@torch.no_grad()
def check_removal(model: GrownNetwork, masked: nn.Module, smaller: nn.Module, inputs: Tensor) -> None:
    """AssertionError if the smaller network computes something else than the one whose units are zero.

    Where statistics are computed over units both are compared without them.
    """
    difference = _difference(masked, smaller, inputs)
    if difference > ROUNDING and model.averages:
        with without_statistics(masked), without_statistics(smaller):
            difference = _difference(masked, smaller, inputs)
    assert difference <= ROUNDING, f"masked and removed differ by {difference:.1e} of the largest output"


def _difference(first: nn.Module, second: nn.Module, inputs: Tensor) -> float:
    """The largest difference, as a part of the largest output."""
    expected, output = first(inputs), second(inputs)
    assert expected.shape == output.shape, f"the output's shape changes to {list(output.shape)}"
    return largest_difference(expected, output) / max(float(expected.abs().max()), 1e-300)


@contextmanager
def without_statistics(model: nn.Module) -> Generator[None]:
    """Norms over units only scale and shift while the block runs."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it calls no norm of a transformer layer
    try:
        forwards = {module: plain for module in model.modules() if (plain := _plain(module))}
        with replaced_forwards(forwards):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _plain(module: nn.Module) -> Callable[..., Any] | None:
    """What the module computes without statistics; None where it computes none over units."""
    if isinstance(module, Averaging):
        return module.without_statistics
    if isinstance(module, nn.GroupNorm):
        return partial(_scaled, module, 1)
    return partial(_scaled, module, -1) if isinstance(module, nn.LayerNorm | nn.RMSNorm) else None


def _scaled(norm: nn.Module, dim: int, values: Tensor) -> Tensor:
    """The values times the norm's weight plus its bias, both along the dimension."""
    values = values.movedim(dim, -1)
    for name, parameter in norm.named_parameters():
        values = values * parameter if name == "weight" else values + parameter
    return values.movedim(-1, dim)
