"""A slider over 25 M weights in 50 layers, beside `torch.nn.utils.prune.global_unstructured` on the same weights."""

import sys
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from statistics import median
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from benchmarks.report import Report, Target
from pruning.granularities import Weights
from pruning.model.costs import CostModel, cost_model
from pruning.model.descriptions import Size
from pruning.model.devices import default_device
from pruning.model.memory import bytes_of
from pruning.model.units import UnitGroup, apply_masks, masks_of
from pruning.selection.amounts import Amount, Sparsity, Threshold
from pruning.selection.ranking import Position, Ranking, position, rank, select
from pruning.selection.scopes import Global, Scope, WithinLayer

LAYERS = 50
WIDTHS = (1000, 500)
"""Inputs and outputs of a layer, and the other way round in the next: half a million weights each."""
SHARES = (0.5, 0.9, 0.2, 0.7, 0.35)
"""Sparsities, one a turn; the peer and ours take turns, so that a busy moment of the machine meets both."""
MOVES = 40
"""Slider positions a turn."""

Times = dict[str, list[float]]
_T = TypeVar("_T")

PEER = "torch.nn.utils.prune, zeros counted"
INDEX, LAYER_INDEX = "index", "index, layer scope"
SPARSITY, THRESHOLD = "position, sparsity", "position, threshold"
LAYER_SPARSITY, LAYER_THRESHOLD = "position, sparsity, layer scope", "position, threshold, layer scope"
MASKS, CUT = "masks", "masks, weights set to zero"


def measure() -> Report:
    """Medians and spreads over the turns, and how many times as fast as one call of the peer each step is."""
    device = default_device()
    model = _model().to(device)
    example = torch.zeros(1, WIDTHS[0], device=device)
    groups = Weights().sorted_out(model, example)[0]
    cost, ours = cost_model(model, example), deepcopy(model)
    times: Times = {}
    wrong_counts = wrong_masks = 0
    ranking = rank(groups, _scores(model), Global(), Sparsity(0.0))  # the first call of anything is slower
    for share in SHARES:
        print(f"sparsity {share:g}", file=sys.stderr, flush=True)
        fresh = deepcopy(model)
        zeros = _timed(times, PEER, lambda fresh=fresh, share=share: _by_peer(fresh, share))
        ranking = _timed(times, INDEX, lambda: _index(groups, model, Global()))
        apart = _timed(times, LAYER_INDEX, lambda: _index(groups, model, WithinLayer()))
        _slide(times, (SPARSITY, THRESHOLD), ranking, cost)
        _slide(times, (LAYER_SPARSITY, LAYER_THRESHOLD), apart, cost)
        keep = _timed(times, MASKS, lambda ranking=ranking, share=share: select(ranking, Sparsity(share)))
        _timed(times, CUT, lambda ranking=ranking, share=share: _cut(ours, groups, ranking, share))
        found = position(ranking, Sparsity(share)).shares
        wrong_counts += sum(row.pruned != count for row, count in zip(found, zeros, strict=True))
        for group, layer in zip(groups, fresh.children(), strict=True):
            mask = layer.get_buffer("weight_mask")
            wrong_masks += int((keep[group.name].reshape(mask.shape) != mask.bool()).sum())
    return _report(times, wrong_counts, wrong_masks, bytes_of(ranking) / bytes_of(_scores(model)))


def _report(times: Times, wrong_counts: int, wrong_masks: int, copies: float) -> Report:
    peer = median(times[PEER])
    rows = [
        {
            "step": name,
            "median (ms)": 1e3 * median(taken),
            "fastest (ms)": 1e3 * min(taken),
            "slowest (ms)": 1e3 * max(taken),
            "times as fast as the peer": peer / median(taken),
        }
        for name, taken in times.items()
    ]
    steps = [name for name in times if name != PEER]
    figures = {f"{PEER} (s)": peer}
    figures |= {f"{name}: times as fast": peer / median(times[name]) for name in steps}
    figures |= {f"{name} (ms)": 1e3 * median(times[name]) for name in steps}
    figures |= {
        "layers whose count differs": float(wrong_counts),
        "weights whose mask differs": float(wrong_masks),
        "index (float32 copies of the scores)": copies,
    }
    return Report(
        figures,
        {
            f"{SPARSITY}: times as fast": Target(at_least=1000),
            f"{INDEX}: times as fast": Target(at_least=1),
            f"{MASKS}: times as fast": Target(at_least=20),
            "layers whose count differs": Target(at_most=0),
            "weights whose mask differs": Target(at_most=0),
        },
        rows,
        {f"{name} (ms)": "less" for name in steps},
    )


def _timed(times: Times, name: str, call: Callable[[], _T]) -> _T:
    _wait()
    start = time.perf_counter()
    result = call()
    _wait()
    times.setdefault(name, []).append(time.perf_counter() - start)
    return result


def _wait() -> None:
    """Until the accelerator, where there is one, has done what it was given."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def _by_peer(model: nn.Module, share: float) -> list[int]:
    """What a notebook does at each position: prune the model, count the zeros of every layer."""
    weights = [(layer, "weight") for layer in model.children()]
    prune.global_unstructured(weights, prune.L1Unstructured, amount=share)
    return [int((layer.get_buffer("weight_mask") == 0).sum()) for layer in model.children()]


def _index(groups: Sequence[UnitGroup], model: nn.Module, scope: Scope) -> Ranking:
    """From the weights: the peer, too, takes their size at each call."""
    return rank(groups, _scores(model), scope, Sparsity(0.0))


def _slide(times: Times, names: tuple[str, str], ranking: Ranking, cost: CostModel) -> None:
    """Positions all along the slider, with the kept count of each layer and the sizes of the network."""
    highest = max(pools.highest for pools in ranking.pools)
    for move in range(MOVES):
        at = (move + 0.5) / MOVES
        for name, amount in zip(names, (Sparsity(at), Threshold(at * highest / 2)), strict=True):
            _timed(times, name, lambda amount=amount: _answered(ranking, amount, cost))


def _answered(ranking: Ranking, amount: Amount, cost: CostModel) -> tuple[Position, dict[str, float], int, Size]:
    """A position: each layer's kept share and cut, the weights that are not zero, and the sizes. No mask is made."""
    found = position(ranking, amount)
    return found, {row.name: row.kept for row in found.shares}, found.units - found.pruned, cost.after([], {})


def _cut(model: nn.Module, groups: Sequence[UnitGroup], ranking: Ranking, share: float) -> None:
    apply_masks(model, masks_of(groups, select(ranking, Sparsity(share)), model))


def _scores(model: nn.Module) -> dict[str, Tensor]:
    return {name: layer.get_parameter("weight").detach().abs().flatten() for name, layer in model.named_children()}


def _model() -> nn.Module:
    """Normal weights, every layer of a scale of its own, no two of one size: the peer breaks ties by chance."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(LAYERS, WIDTHS[0] * WIDTHS[1], generator=generator)
    weights *= torch.linspace(0.5, 1.5, LAYERS)[:, None] / WIDTHS[0] ** 0.5
    weights = _distinct(weights.abs().flatten()).reshape(weights.shape).copysign(weights)
    layers: list[nn.Module] = []
    for i, values in enumerate(weights):
        inputs, outputs = WIDTHS if i % 2 == 0 else WIDTHS[::-1]
        layer = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=False)
        layer.weight = nn.Parameter(values.reshape(outputs, inputs).clone())
        layers.append(layer)
    return nn.Sequential(*layers)


def _distinct(sizes: Tensor) -> Tensor:
    """Positive values, each in its order moved up to the next float32 that is free."""
    bits, order = sizes.view(torch.int32).sort(stable=True)
    places = torch.arange(len(bits), dtype=torch.int32)
    free = (bits - places).cummax(dim=0).values + places
    return torch.empty_like(free).scatter_(0, order, free).view(torch.float32)
