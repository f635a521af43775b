"""Asked speed-ups beside measured ones: a search for a share of the dense network's time, and its cut timed anew."""

import sys

from torch import device

from benchmarks.report import Report, Target
from pruning.api.progress import last_value
from pruning.criteria import Taylor
from pruning.evaluation.accuracy import time_left
from pruning.granularities import Channels
from pruning.level_search.engine import search
from pruning.level_search.joint_cuts import joint_cuts
from pruning.level_search.latency.measurement import inputs_of
from pruning.recipe.recipe import Recipe
from pruning.repair import LeastSquares
from pruning.selection.goal import Goal
from sample_models import MODELS

CPU = device("cpu")
LONGEST_S = 150.0
ASKED = ((64, 0.6), (64, 0.5), (16, 0.6), (1, 0.8))
"""Batch, and the share of the dense network's time that is asked for."""


def measure() -> Report:
    """For each: what is asked, what the search saw, and what is measured once more when it is over."""
    rows: list[dict[str, str | float]] = []
    figures: dict[str, float] = {}
    for batch, asked in ASKED:
        recipe = Recipe("fashion_resnet", Taylor(), Channels(), repair=LeastSquares())
        workload = MODELS[recipe.workload]()
        found = last_value(search(workload, recipe, Goal("latency", budget=asked), LONGEST_S, CPU, batch))
        assert found.best is not None
        cuts = joint_cuts(workload, recipe, CPU)
        pruned = {name: round(found.best.shares[name] * units) for name, units in cuts.units.items()}
        left = time_left(cuts.smaller(pruned), cuts.dense, inputs_of(cuts, batch))
        rows.append(
            {
                "batch": batch,
                "time asked": asked,
                "seen by the search": found.best.cost,
                "time left": left,
                "points lost": 100 * found.best.drop,
                "cuts": found.evaluations,
                "s": found.seconds,
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
        figures[f"batch {batch}, {asked:g} of the time asked: time left is off by (%)"] = 100 * abs(left / asked - 1)
    return Report(figures, {name: Target(at_most=10) for name in figures}, rows)
