"""Trying beforehand whether units can be removed: without them the network must compute what it does with zeros."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from pruning.errors import describe
from pruning.model.copying import deep_copy
from pruning.model.labels.tracing import attention_taken_apart
from pruning.model.narrow_layers import Skipped
from pruning.model.patching import evaluating, hooked, training_tried
from pruning.model.replayed import Statistics
from pruning.model.surgery import largest_difference, magnitude, masked_copy, output_shape, without_units
from pruning.model.units import Keep, SizeAttribute, Slice, UnitGroup

_OUTPUT = "its units are the model's output: they always stay"
_OTHERWISE = (
    "without its units the network computes something else than with them set to zero, as where channels are shuffled "
    "in parts of a fixed size: they always stay"
)
_TRAINING = (
    "in train mode the network does not run without some of its units, as where a head runs in train mode alone: they "
    "always stay"
)
ROUNDING = {torch.float64: 1e-8, torch.float32: 1e-4}
"""Of the largest number in what a module gives: what two networks that compute the same may differ by."""
QUICK = 1e-5
"""The same where float64 need not be asked."""
SAMPLES = 2
"""Inputs by lot that two networks are compared on."""
SEEN_BYTES = 2**28
"""Of what modules give, at most so much is kept to be compared."""
PRECISE = 2 * 10**8
"""Networks of more parameters are compared in float32: in float64 one and its copies would fill a computer's memory."""
CANDIDATES = 6
"""So many numbers of one's own at most are tried in all combinations."""


def tried(model: nn.Module, example: Tensor, groups: Sequence[UnitGroup]) -> tuple[list[UnitGroup], dict[str, str]]:
    """The groups whose units can be removed, with the sizes that go down with them; of the others, by name, why not."""
    # one trial for all is enough for nearly every network; only if it fails is each group tried alone
    if not _went_wrong(model, example, groups):
        return list(groups), {}
    known: _Known = {}
    found = [_running(model, example, group, known) for group in groups]
    reasons = {group.name: why_not for group, why_not in found if why_not}
    removable = [group for group, why_not in found if not why_not]
    if _went_wrong(model, example, removable):
        found = [_right(model, example, group) for group in removable]
        reasons |= {group.name: why_not for group, why_not in found if why_not}
        removable = [group for group, why_not in found if not why_not]
        if why_not := _went_wrong(model, example, removable):
            return [], reasons | {group.name: f"together with other layers, {why_not}" for group in removable}
    return removable, reasons


_Known = dict[tuple[tuple[type[nn.Module], str, int], ...], frozenset[tuple[str, int]]]
"""The candidates of a group, as class, attribute and entry -> the attributes that were right; empty where none are."""


def _running(model: nn.Module, example: Tensor, group: UnitGroup, known: _Known) -> tuple[UnitGroup, str]:
    """The group with the sizes without which the network does not run; or a sentence."""
    candidates = _candidates(model, group)
    alike = tuple((type(model.get_submodule(size.module)), size.name, size.index) for size in candidates)
    # blocks of one class are alike: what was right in the first is taken for right in the others, and all are tried
    # together in the end
    if right := tuple(size for size in candidates if (size.name, size.index) in known.get(alike, ())):
        return replace(group, sizes=right), ""
    why_not = _does_not_run(model, example, group)
    if not why_not:
        return group, ""
    for sizes in _combinations(candidates) if alike not in known else ():
        changed = replace(group, sizes=sizes)
        if not _does_not_run(model, example, changed) and not _went_wrong(model, example, [changed]):
            known[alike] = frozenset((size.name, size.index) for size in sizes)
            return changed, ""
    known.setdefault(alike, frozenset())
    return group, why_not


def _right(model: nn.Module, example: Tensor, group: UnitGroup) -> tuple[UnitGroup, str]:
    """The group with the sizes without which the network computes something else; or a sentence."""
    why_not = _went_wrong(model, example, [group])
    if not why_not:
        return group, ""
    for sizes in itertools.chain([()], _combinations(_candidates(model, group))):
        changed = replace(group, sizes=sizes)
        if not _does_not_run(model, example, changed) and not _went_wrong(model, example, [changed]):
            return changed, ""
    return replace(group, sizes=()), why_not


def _combinations(candidates: Sequence[SizeAttribute]) -> Iterator[tuple[SizeAttribute, ...]]:
    """All at once, then all of one name, two names and so on."""
    by_name: dict[tuple[str, int, int], list[SizeAttribute]] = {}
    for size in candidates:
        by_name.setdefault((size.name, size.index, size.each), []).append(size)
    if by_name:
        yield tuple(candidates)
    names = sorted(by_name, key=lambda name: name[2] != 1)[:CANDIDATES]  # numbers of units first
    for count in range(1, len(names) + (len(names) < len(by_name))):
        for chosen in itertools.combinations(names, count):
            yield tuple(size for name in chosen for size in by_name[name])


def _candidates(model: nn.Module, group: UnitGroup) -> list[SizeAttribute]:
    """Whole numbers in the modules around the group's layers that may be a size of its units, with each unit's part."""
    widths = {piece.index.shape[1] for piece in group.pieces if isinstance(piece, Slice)}
    each = {1} | widths | {width // part for width in widths for part in (2, 3, 4) if width % part == 0}
    found: dict[SizeAttribute, None] = {}
    for path in dict.fromkeys(path for piece in group.pieces for path in _around(piece.param)):
        module = model.get_submodule(path)
        if type(module).__module__.startswith("torch.nn.") and not isinstance(module, nn.Transformer):
            continue  # they are resized by what their tensors say
        for name, value in vars(module).items():
            values = value if isinstance(value, tuple | list) else [value]  # pyright: ignore[reportUnknownVariableType]
            for index, number in enumerate(values):
                if type(number) is int and number > 1 and number % group.units == 0 and number // group.units in each:
                    entry = index if isinstance(value, tuple | list) else -1
                    found[SizeAttribute(path, name, number // group.units, entry)] = None
    return list(found)


def _around(param: str) -> list[str]:
    """The layer that a parameter belongs to, the module that it lies in, and the one around that."""
    parts = param.split(".")[:-1]
    return [".".join(parts[:end]) for end in range(len(parts), max(-1, len(parts) - 3), -1)]


def _does_not_run(model: nn.Module, example: Tensor, group: UnitGroup) -> str:
    """A sentence if the network does not run without about half of the group's units."""
    try:
        output_shape(without_units(model, [group], _lots([group])), example)
    except Exception as error:
        return _why_it_does_not_run(error)
    return ""


def _why_it_does_not_run(error: Exception) -> str:
    return f"the network does not run without some of its units ({describe(error)}): they always stay"


def _lots(groups: Sequence[UnitGroup], others: bool = False) -> Keep:
    """Keep about half of the units of each group, by lot; `others`: let those go that would be kept, as many as go."""
    lots = torch.Generator().manual_seed(0)
    several = [group for group in groups if group.units > 1]
    keep: dict[str, Tensor] = {}
    for number, group in enumerate(several):
        place = torch.randperm(group.units, generator=lots)
        place = group.units - 1 - place if others else place
        keep[group.name] = place >= _about_half(group.units, number)
    return keep


def _about_half(units: int, number: int) -> int:
    """How many units go, of the group with this number: about half, and not as many in one group as in the next.

    In every other group an odd number: attention that views its channels as heads may run with half of them, and not
    with others. Two units are left where there are three: one alone would be broadcast.
    """
    odd = units // 2 | 1
    gone = odd if units - odd >= 2 or units < 3 else 1
    if number % 2 == 0 or units < 4:
        return gone
    return gone - 1 if gone > 1 else gone + 1


def _at_an_end(groups: Sequence[UnitGroup], last: bool = False) -> Keep:
    """Let the first units of each group go, or the last: of groups that share a tensor unequally many."""
    keep: dict[str, Tensor] = {}
    of_place: dict[tuple[str, int], set[int]] = {}
    # one unit or more at the front, two or more at the end; none where all other numbers are taken
    for group in reversed(groups) if last else groups:
        places = {(piece.param, piece.dim) for piece in group.pieces if isinstance(piece, Slice)}
        taken = set[int]().union(*(of_place.setdefault(place, set()) for place in places))
        counts = [number for number in (2, *range(3, group.units), 1, 0) if number < group.units]
        gone = next(
            (number for number in (counts if last else sorted(counts, key=_none_last)) if number not in taken), 1
        )
        for place in places:
            of_place[place].add(gone)
        place = torch.arange(group.units)
        keep[group.name] = (place.flip(0) if last else place) >= gone
    return keep


def _none_last(number: int) -> tuple[bool, int]:
    return number == 0, number


def _went_wrong(model: nn.Module, example: Tensor, groups: Sequence[UnitGroup]) -> str:
    """Remove units of each group in several ways: a sentence if that differs from setting them to zero."""
    groups = [group for group in groups if group.units > 1]
    # of a half each unit goes once. Units that the code cuts into parts of a fixed size may be right by luck if as many
    # go before the cut as after it: at an end they all go on one side
    ways = [_lots(groups), _lots(groups, others=True), _at_an_end(groups), _at_an_end(groups, last=True)]
    return why_not_removed(model, example, groups, ways) if groups else ""


def why_not_removed(model: nn.Module, example: Tensor, groups: Sequence[UnitGroup], keeps: Sequence[Keep]) -> str:
    """Remove what does not stay, in each of these ways: a sentence if that differs from setting it to zero."""
    lots, smaller = torch.Generator().manual_seed(1), model
    try:
        for keep in keeps:
            smaller = without_units(model, groups, keep)
            if not compute_the_same(masked_copy(model, groups, keep), smaller, _within(model, example, lots)):
                return _OUTPUT if output_shape(smaller, example) != output_shape(model, example) else _OTHERWISE
    except Exception as error:  # whatever a stranger's forward raises on tensors that no longer fit
        return _why_it_does_not_run(error)
    if not _runs_in_train_mode(smaller, example) and _runs_in_train_mode(model, example):
        return _TRAINING
    return ""


def _precise(model: nn.Module, example: Tensor) -> tuple[nn.Module, Tensor]:
    """The model and the example in float64; as they are where they do not run so, and where the model is large."""
    if sum(parameter.numel() for parameter in model.parameters()) > PRECISE:
        return model, example
    try:
        precise = deep_copy(model).double()
        values = example.double() if example.is_floating_point() else example
        output_shape(precise, values)
    except Exception:  # the device has no float64, or a forward makes tensors of another type
        return model, example
    return precise, values


def _runs_in_train_mode(model: nn.Module, example: Tensor) -> bool:
    """Whether it runs on two samples as in fine-tuning, where a network may have heads that evaluation does without."""
    try:
        with training_tried(model), torch.no_grad(), torch.random.fork_rng(devices=[]):
            model(torch.cat([example, example]))
    except Exception:
        return False
    return True


def _within(model: nn.Module, example: Tensor, lots: torch.Generator) -> Tensor:
    """Random values in the range of the example; where it holds words, as many different ones as the network knows.

    An example of one word repeated would hide what attention does.
    """
    shape = [SAMPLES, *example.shape[1:]]
    if example.is_floating_point():
        low, high = example.min(), example.max()
        return low + (high - low) * torch.rand(shape, generator=lots).to(example)
    low, high = int(example.min()), int(example.max())
    tables = [module.num_embeddings for module in model.modules() if isinstance(module, nn.Embedding)]
    if words := min((rows for rows in tables if rows > max(high, 1)), default=0):
        low, high = 0, words - 1
    drawn = torch.randint(low, high + 1, shape, generator=lots).to(example)
    try:
        output_shape(model, drawn)
    except Exception:  # a network may take some numbers only
        return example
    return drawn


def compute_the_same(masked: nn.Module, smaller: nn.Module, inputs: Tensor) -> bool:
    """Whether two networks compute the same but for rounding, the second with the statistics of the first.

    In float64 where they can, unless they are as alike without as two sums in another order.
    """
    if _compared(masked, smaller, inputs, QUICK):
        return True
    (first, values), (second, _) = _precise(masked, inputs), _precise(smaller, inputs)
    if first is masked or second is smaller:  # one of them does not run so
        return _compared(masked, smaller, inputs)
    return _compared(first, second, values)


@torch.no_grad()
def _compared(masked: nn.Module, smaller: nn.Module, inputs: Tensor, at_most: float = 1.0) -> bool:
    statistics = Statistics()
    with attention_taken_apart(), evaluating(masked), evaluating(smaller):
        with statistics:
            expected = _seen(masked, inputs)
        statistics.replaying = True
        with statistics:
            if _same(_seen(smaller, inputs), expected, at_most):
                return True
        return _same(_seen(smaller, inputs), expected, at_most)


def _seen(model: nn.Module, inputs: Tensor) -> dict[str, list[Tensor]]:
    """What every module gives, each time it is called: the output alone would hide much of it."""
    seen: dict[str, list[Tensor]] = {}
    left = SEEN_BYTES
    names = {module: name for name, module in model.named_modules()}

    def note(module: nn.Module, _args: object, output: object) -> None:
        nonlocal left
        if isinstance(output, Tensor) and output.is_floating_point():
            size = output.numel() * output.element_size()
            if size <= left or not names[module]:
                left -= size
                seen.setdefault(names[module], []).append(output.clone())  # a later layer may change it in place

    # a block that was taken out gives what went in, which with zeros may have been rounded to float32 on the way
    with hooked(after=[(module, note) for module in names if not isinstance(module, Skipped)]):
        model(inputs)
    return seen


def _same(found: dict[str, list[Tensor]], expected: dict[str, list[Tensor]], at_most: float) -> bool:
    """Whether outputs of the same shape differ by rounding alone; of modules that are called as often in both.

    The network's own have to be of the same shape. If its output is no number it tells nothing: they are not the same.
    """
    if any(bool(output.isnan().any()) or not bool(output.isfinite().any()) for output in expected.get("", [])):
        return False
    whole = max((magnitude(output) for output in expected.get("", [])), default=0.0)
    for name, outputs in expected.items():
        others = found.get(name, [])
        if len(others) != len(outputs):
            continue
        for output, other in zip(outputs, others, strict=True):
            if output.shape != other.shape:
                if not name:
                    return False
                continue
            if output.dtype == other.dtype and torch.equal(output, other):
                continue
            rounding = min(ROUNDING.get(output.dtype, 1e-2), at_most) * max(magnitude(output), 1e-3 * whole)
            if not largest_difference(other, output) <= rounding:
                return False
    return True
