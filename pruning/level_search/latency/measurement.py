"""Measuring the table: few networks that are really smaller, each of which times all its layers.

Where groups have five widths each, 25 networks hold every pair of widths of every two groups that have different
columns of an orthogonal array (Bush 1952): only groups that share a layer need different ones. In each network the
time from the begin of a layer to the begin of the next belongs to that layer: so activations, additions and pooling
belong to the layer before them, and nothing is left over but what comes before the first.
"""

from collections.abc import Generator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pruning.errors import PruningError
from pruning.level_search.additive import Additive, Values
from pruning.level_search.joint_cuts import JointCuts
from pruning.level_search.latency.layer_times import LayerTimes, layer_times
from pruning.level_search.latency.table import LatencyTable
from pruning.model.devices import device_name
from pruning.model.units import UnitGroup

WIDTHS = 5
"""Of each group: a prime number, for the array is made by counting with it."""
SHARES = (1.0, 0.75, 0.5, 0.25, 0.125)
"""Of a group's units that are left in the networks that are measured."""


def measured_table(cuts: JointCuts, batch: int = 1) -> Generator[float, None, LatencyTable]:
    """Measure; yields the share that is done."""
    if not cuts.ranked.removable:
        raise PruningError("a table of latencies is of units that are removed; choose a granularity such as channels")
    example = inputs_of(cuts, batch)
    ladder = {name: ladder_of(units) for name, units in cuts.units.items()}
    of_layers = _groups_of_layers(cuts)
    columns = _columns(list(ladder), list(of_layers.values()))
    took: list[LayerTimes] = []
    runs = [(one, other) for one in range(WIDTHS) for other in range(WIDTHS)]
    places = [{name: _place(columns[name], *run) % len(ladder[name]) for name in ladder} for run in runs]
    for done, chosen in enumerate(places):
        model = cuts.smaller({name: ladder[name][place] for name, place in chosen.items()})
        took.append(layer_times(model, cuts.dense, example, list(of_layers)))
        yield (done + 1) / len(places)
    dense_ms = min(each.dense_ms for each in took)
    parts = [{name: dense_ms * share for name, share in each.layers.items()} for each in took]
    whole = [dense_ms * each.whole for each in took]
    times = _summed(parts, places, of_layers, ladder)
    sums = np.array([times.of(chosen) for chosen in places])
    remainder = float(np.median(np.array(whole) - sums))
    error = float(np.abs((sums + remainder) / np.array(whole) - 1.0).max())
    times = Additive(times.base + remainder, times.single, times.pairs)
    threads = 1 if cuts.device.type == "cpu" else torch.get_num_threads()
    return LatencyTable(
        device_name(cuts.device), torch.__version__, threads, batch, ladder, times, remainder, error
    )  # fmt: skip


def ladder_of(units: int) -> tuple[int, ...]:
    """How many units are pruned in the networks that are measured; what is left is a multiple of `grain`."""
    step = grain(units)
    left = {max(step if units > step else 1, round(units * share / step) * step) for share in SHARES[1:]} | {units}
    return tuple(sorted(units - each for each in left if each <= units))


def grain(units: int) -> int:
    """Widths that are no multiple of this are not offered to a search for time: a CPU computes on 8 or 16 channels
    together, and fewer take no less time.
    """
    return 8 if units >= 32 else 4 if units >= 12 else 1


def inputs_of(cuts: JointCuts, batch: int) -> Tensor:
    """So many samples of the validation split, [batch, *input]."""
    inputs = cuts.validation.batch(torch.arange(min(batch, len(cuts.validation))))[0]
    return inputs if len(inputs) == batch else inputs[:1].expand(batch, *inputs.shape[1:]).contiguous()


def _groups_of_layers(cuts: JointCuts) -> dict[str, tuple[str, ...]]:
    """Layer with parameters -> the groups that own parts of them, by which its width changes."""
    owners: dict[str, list[str]] = {}
    for group in cuts.groups:
        if not group.fixed:
            for piece in _params(group):
                owners.setdefault(piece.rpartition(".")[0], []).append(group.name)
    layers = [name for name, module in cuts.dense.named_modules() if _has_parameters(module)]
    return {name: tuple(dict.fromkeys(owners.get(name, ()))) for name in layers if name}


def _params(group: UnitGroup) -> list[str]:
    return [piece.param for piece in group.pieces]


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None


def _columns(names: Sequence[str], shared: Sequence[Sequence[str]]) -> dict[str, int]:
    """Group -> its column of the array, 0 to WIDTHS; groups that share a layer have different ones if there are."""
    taken: dict[str, int] = {}
    for name in names:
        near = {other for layer in shared if name in layer for other in layer if other in taken}
        used = [taken[other] for other in near]
        taken[name] = min(range(WIDTHS + 1), key=lambda column: (used.count(column), column))
    return taken


def _place(column: int, one: int, other: int) -> int:
    """The entry of an array of strength 2: of two columns each pair of entries comes once."""
    return other if column == WIDTHS else (one + column * other) % WIDTHS


def _summed(
    parts: Sequence[Mapping[str, float]],
    places: Sequence[Mapping[str, int]],
    of_layers: Mapping[str, Sequence[str]],
    ladder: Mapping[str, Sequence[int]],
) -> Additive:
    """The times of all layers as one sum over widths and pairs of widths.

    A layer of more than two groups is a sum over them: what its widths do to one another is not known.
    """
    base = 0.0
    single = {name: np.zeros(len(counts)) for name, counts in ladder.items()}
    pairs: dict[tuple[str, str], Values] = {}
    for layer in ["", *of_layers]:
        took = np.array([part.get(layer, 0.0) for part in parts])
        groups = of_layers.get(layer, ())
        if len(groups) == 2:
            first, second = sorted(groups, key=list(ladder).index)
            grid = _grid(took, places, first, second, len(ladder[first]), len(ladder[second]))
            base += float(grid[0, 0])
            single[first] += grid[:, 0] - grid[0, 0]
            single[second] += grid[0] - grid[0, 0]
            more = grid - grid[:, :1] - grid[:1] + grid[0, 0]
            pairs[first, second] = pairs.get((first, second), np.zeros_like(more)) + more
        else:
            level, effects = _effects(took, places, {name: len(ladder[name]) for name in groups})
            base += level
            for name, values in effects.items():
                single[name] += values
    return Additive(base, single, pairs)


def _grid(took: Values, places: Sequence[Mapping[str, int]], first: str, second: str, down: int, across: int) -> Values:
    """Times over both groups' widths; where a pair of widths was in no network, the sum of what each does."""
    level, effects = _effects(took, places, {first: down, second: across})
    grid = level + effects[first][:, None] + effects[second][None]
    found: dict[tuple[int, int], list[float]] = {}
    for chosen, passed in zip(places, took, strict=True):
        found.setdefault((chosen[first], chosen[second]), []).append(float(passed))
    for place, times in found.items():
        grid[place] = np.mean(times)
    return grid


def _effects(
    took: Values, places: Sequence[Mapping[str, int]], lengths: Mapping[str, int]
) -> tuple[float, dict[str, Values]]:
    """What each group's widths add to the time at full width, by least squares over all networks."""
    columns = {
        name: [[float(chosen[name] == at) for at in range(1, n)] for chosen in places] for name, n in lengths.items()
    }
    design = np.concatenate(
        [np.ones((len(places), 1)), *(np.array(columns[name]).reshape(len(places), -1) for name in lengths)], axis=1
    )
    found = np.linalg.lstsq(design, took, rcond=None)[0]
    effects: dict[str, Values] = {}
    at = 1
    for name, length in lengths.items():
        effects[name] = np.concatenate([[0.0], found[at : at + length - 1]])
        at += length - 1
    return float(found[0]), effects
