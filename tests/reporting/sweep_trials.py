"""Finished runs of a sweep for the tests, with numbers that are easily added up."""

from typing import Any

from pruning.events import Stage
from pruning.metric import ACCURACY, Metric
from pruning.recipe.recipe import Recipe, to_dict
from pruning.reporting.sweep_table import Trial
from pruning.selection.amounts import Sparsity

DENSE = Stage(0.9, 0.9, 1000, 100, 100, 5000, 2000, 1000)


def trial(
    score: float,
    share: float = 0.5,
    seed: int = 0,
    criterion: str = "magnitude",
    role: str = "grid",
    metric: Metric = ACCURACY,
    workload: str = "mlp",
    **stage: Any,
) -> Trial:
    recipe = to_dict(Recipe(workload, amount=Sparsity(share), seed=seed)) | {"criterion": {"kind": criterion}}
    nonzero = round(100 * (1 - share))
    values = {"parameters": 100, "nonzero": nonzero, "macs": 5000, "bytes": 2000, "gzip_bytes": 10 * nonzero}
    tuned = Stage(score, score, 1000, **{**values, **stage})
    name = f"{criterion}-{share}-{seed}"
    return Trial(name, role, recipe, DENSE, tuned, 10.0 + seed, metric)
