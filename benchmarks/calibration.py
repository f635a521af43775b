"""Whether the intervals of the sensitivity map hold what they promise, against full evaluations."""

import sys
from dataclasses import replace
from statistics import median

import torch
from torch import Tensor

from benchmarks.report import Report, Target
from pruning.boundary import looks
from pruning.devices import default_device
from pruning.known import Known
from pruning.recipe import Recipe
from pruning.sensing import sensing_of
from pruning.sensitivity import LEVELS
from sample_models import MODELS

ORDERS = 5
LEVELS_OF_LARGE = (0.3, 0.6, 0.8, 0.9, 0.95)
LARGE = ("fashion_resnet", "fashion_vit", "fashion_lstm")


def measure() -> Report:
    """All sample models, weights by magnitude, every layer and level: all samples judged, then looked at as they come.

    Five random orders each: the page's own and four more. A case is an order, a layer, a level and a look.
    """
    rows: list[dict[str, str | float]] = []
    held = cases = together = cells = 0
    widths: list[float] = []
    for name in MODELS:
        found = _cover(name)
        rows.append({"model": name, **found.figures()})
        held, cases = held + found.held, cases + found.cases
        together, cells = together + found.together, cells + found.cells
        widths += found.widths
        print(f"{name}: done", file=sys.stderr)
    figures = {
        "cases (order, layer, level, look)": float(cases),
        "interval holds the full evaluation (% of cases)": 100 * held / cases,
        "at all looks together (% of order, layer, level)": 100 * together / cells,
        "median half-width at 1000 samples (points)": 100 * median(widths),
    }
    targets = {
        "interval holds the full evaluation (% of cases)": Target(at_least=95.0),
        "at all looks together (% of order, layer, level)": Target(at_least=95.0),
    }
    return Report(figures, targets, rows)


class _Coverage:
    """Counts of cases and of those whose interval held; half-widths at 1000 samples."""

    def __init__(self) -> None:
        self.held = self.cases = self.together = self.cells = 0
        self.widths: list[float] = []

    def add(self, known: Known, scores: Tensor) -> None:
        """The estimates at every look at a cut's scores [n], in the split's order."""
        final, seen = float(scores.double().mean()), scores[known.order]
        estimates = [known.estimate(seen[:count]) for count in looks(len(scores))[:-1]]
        right = [abs(estimate.score - final) <= estimate.half_width for estimate in estimates]
        self.held, self.cases = self.held + sum(right), self.cases + len(right)
        self.together, self.cells = self.together + all(right), self.cells + 1
        self.widths.append(known.estimate(seen[:1000]).half_width)

    def figures(self) -> dict[str, float]:
        return {
            "cells": float(self.cells // ORDERS),
            "holds (% of cases)": 100 * self.held / self.cases,
            "at all looks (%)": 100 * self.together / self.cells,
            "half-width at 1000 (points)": 100 * median(self.widths),
        }


def _cover(name: str) -> _Coverage:
    levels = LEVELS_OF_LARGE if name in LARGE else LEVELS
    sensing = sensing_of(MODELS[name](), Recipe(name), levels, default_device())
    while not sensing.advance(10.0, 0.0).done:
        pass
    coverage = _Coverage()
    draw = torch.Generator().manual_seed(1)
    for number in range(ORDERS):
        known = sensing.known
        if number:
            known = replace(known, order=torch.randperm(len(known.scores), generator=draw))
        for scores in sensing.judged():
            coverage.add(known, scores)
    return coverage
