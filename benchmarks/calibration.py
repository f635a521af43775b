"""Whether the intervals of the sensitivity map hold what they promise, against full evaluations."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

import torch
from torch import Tensor

from benchmarks.report import Report, Target
from pruning.evaluation.accuracy import BATCH_ON_ACCELERATOR
from pruning.evaluation.estimate import Estimate
from pruning.evaluation.regression_estimator import DenseReference
from pruning.evaluation.sequential_bounds import AtAllLooks, UntilNarrow, looks
from pruning.layer_sensitivity.activation_cache import batches
from pruning.layer_sensitivity.analysis import SensitivityAnalysis, analysis_of
from pruning.layer_sensitivity.result import LEVELS
from pruning.model.devices import default_device
from pruning.recipe.recipe import Recipe
from sample_models import MODELS

ORDERS = 5
WIDTH = 0.01
LEVELS_OF_LARGE = (0.3, 0.6, 0.8, 0.9, 0.95)
LARGE = ("fashion_resnet", "fashion_vit", "fashion_lstm")


def measure() -> Report:
    """All sample models, weights by magnitude, every layer and level: all samples evaluated, then looked at as they
    come.

    Five random orders each: the page's own and four more. A case is an order, a layer, a level and a look.
    """
    rows: list[dict[str, str | float]] = []
    held = cases = together = cells = until_narrow = at_the_end = 0
    widths: list[float] = []
    for name in MODELS:
        found = _cover(name)
        rows.append({"model": name, **found.figures()})
        held, cases = held + found.held, cases + found.cases
        together, cells = together + found.together, cells + found.cells
        until_narrow, at_the_end = until_narrow + found.until_narrow, at_the_end + found.at_the_end
        widths += found.widths
        print(f"{name}: done", file=sys.stderr)
    figures = {
        "cases (order, layer, level, look)": float(cases),
        "interval holds the full evaluation (% of cases)": 100 * held / cases,
        "at all looks together (% of order, layer, level)": 100 * together / cells,
        "until within a point, at all looks together (% of order, layer, level)": 100 * until_narrow / cells,
        "until within a point, at the last look (% of order, layer, level)": 100 * at_the_end / cells,
        "median half-width at 1000 samples (points)": 100 * median(widths),
    }
    targets = {
        "interval holds the full evaluation (% of cases)": Target(at_least=95.0),
        "at all looks together (% of order, layer, level)": Target(at_least=95.0),
        "until within a point, at all looks together (% of order, layer, level)": Target(at_least=95.0),
    }
    return Report(figures, targets, rows)


class Coverage:
    """Counts of cases and of those whose interval held; half-widths at 1000 samples. Both kinds of intervals.

    `width` is how narrow the second kind becomes, in the unit of the score.
    """

    def __init__(self, width: float = WIDTH) -> None:
        self.width = width
        self.held = self.cases = self.together = self.cells = self.until_narrow = self.at_the_end = 0
        self.widths: list[float] = []

    def add(self, known: DenseReference, scores: Tensor) -> None:
        """The estimates at every look at the cuts' scores [cuts, n], in the split's order."""
        final, seen = scores.double().mean(dim=1).tolist(), scores[:, known.order]
        sizes = looks(scores.shape[1])[:-1]
        right = [_right(known.estimates(seen[:, :size], AtAllLooks(len(known.scores))), final) for size in sizes]
        self.held, self.cases = self.held + sum(map(sum, right)), self.cases + len(sizes) * len(scores)
        self.together, self.cells = self.together + sum(map(all, zip(*right, strict=True))), self.cells + len(scores)
        self.widths += [e.half_width for e in known.estimates(seen[:, :1000], AtAllLooks(len(known.scores)))]
        self._add_until_narrow(known, seen, final)

    def _add_until_narrow(self, known: DenseReference, seen: Tensor, final: Sequence[float]) -> None:
        """As the map goes, but for the ladders' rounding: each cut only as far as it takes to be within a point."""
        interval, total = UntilNarrow(self.width), seen.shape[1]
        enough, wrong = dict.fromkeys(range(len(seen)), total), set[int]()
        for _, size in batches(total, BATCH_ON_ACCELERATOR):
            some = [cut for cut, needed in enough.items() if size in looks(total) or needed <= size]
            estimates = known.estimates(seen[some, :size], interval) if some else []
            for cut, estimate in zip(some, estimates, strict=True):
                holds = _holds(estimate, final[cut])
                enough[cut] = interval.enough(estimate.half_width, size, total)
                if not holds:
                    wrong.add(cut)
                if estimate.half_width <= self.width:
                    del enough[cut]
                    self.at_the_end += holds
        self.until_narrow += len(seen) - len(wrong)

    def figures(self) -> dict[str, float]:
        return {
            "cells": float(self.cells // ORDERS),
            "holds (% of cases)": 100 * self.held / self.cases,
            "at all looks (%)": 100 * self.together / self.cells,
            "half-width at 1000 (points)": 100 * median(self.widths),
            "until narrow, at all looks (%)": 100 * self.until_narrow / self.cells,
        }


def _holds(estimate: Estimate, final: float) -> bool:
    return abs(estimate.score - final) <= estimate.half_width + 1e-12


def _right(estimates: Sequence[Estimate], final: Sequence[float]) -> list[bool]:
    return [_holds(estimate, score) for estimate, score in zip(estimates, final, strict=True)]


def _cover(name: str) -> Coverage:
    levels = LEVELS_OF_LARGE if name in LARGE else LEVELS
    return covered(analysis_of(MODELS[name](), Recipe(name), levels, default_device()), ORDERS, lambda _: WIDTH)


def covered(sensing: SensitivityAnalysis, orders: int, width: Callable[[DenseReference], float]) -> Coverage:
    """How often the intervals of all cells hold; `width` gives how narrow they become where that is asked."""
    while not sensing.advance(10.0, 0.0).done:
        pass
    assert sensing.known is not None
    coverage = Coverage(width(sensing.known))
    draw = torch.Generator().manual_seed(1)
    for number in range(orders):
        known = sensing.known
        assert known is not None
        if number:
            known = replace(known, order=torch.randperm(len(known.scores), generator=draw))
        coverage.add(known, torch.stack(list(sensing.all_scores())))
    return coverage
