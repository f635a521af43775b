"""Three recipes on the sample models, as the README promises them: accuracy kept, size saved, minutes taken."""

import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Report, Target
from pruning.criteria import Magnitude, Taylor
from pruning.events import Stage, StageMeasured, SurgeryChecked, Verified
from pruning.exporters.workload_source import Called
from pruning.granularities import Channels, Weights
from pruning.recipe.recipe import Recipe
from pruning.run.experiment import carry_out
from pruning.selection.amounts import Sparsity
from pruning.selection.scopes import Global
from pruning.training.schedules import Polynomial
from pruning.training.tuning import Tuning
from sample_models import MODELS

RECIPES = {
    "cnn": Recipe("fashion_cnn", Magnitude(), Weights(), Global(), Sparsity(0.8), Polynomial(5), Tuning(2)),
    "lenet": Recipe(
        "lenet_300_100", Magnitude(), Weights(), Global(), Sparsity(0.9), Polynomial(5), Tuning(2, learning_rate=0.001)
    ),
    "resnet": Recipe(
        "fashion_resnet", Taylor(), Channels(), Global(), Sparsity(0.5), Polynomial(3), Tuning(1, learning_rate=0.003)
    ),
}


def measure() -> Report:
    """Carry each recipe out with export and verification; scores are on the test split, in points of 100."""
    figures: dict[str, float] = {}
    for name, recipe in RECIPES.items():
        stages, surgery, verified, minutes = _run(recipe)
        dense, tuned = stages["dense"], stages["tuned"]
        figures |= {
            f"{name}: dense accuracy (%)": 100 * dense.score,
            f"{name}: pruned accuracy (%)": 100 * stages["pruned"].score,
            f"{name}: tuned accuracy (%)": 100 * tuned.score,
            f"{name}: change (points)": round(100 * (tuned.score - dense.score), 2),
            f"{name}: non-zeros (% of dense)": 100 * tuned.nonzero / dense.parameters,
            f"{name}: gzip (% of dense)": 100 * tuned.gzip_bytes / dense.gzip_bytes,
            f"{name}: fewer MACs (%)": 100 * (1 - tuned.macs / dense.macs),
            f"{name}: minutes": minutes,
            f"{name}: reloaded file scores the same": float(verified),
        }
        if surgery:
            figures[f"{name}: |masked - removed| before tuning"] = surgery
    return Report(
        figures,
        {
            "cnn: change (points)": Target(at_least=-1.0),
            "cnn: minutes": Target(at_most=2.0),
            "lenet: change (points)": Target(at_least=-0.5),
            "lenet: minutes": Target(at_most=2.0),
            "resnet: change (points)": Target(at_least=-1.5),
            "resnet: fewer MACs (%)": Target(at_least=40.0),
            "resnet: |masked - removed| before tuning": Target(at_most=1e-4),
            **{f"{name}: reloaded file scores the same": Target(at_least=1.0) for name in RECIPES},
        },
    )


def _run(recipe: Recipe) -> tuple[dict[str, Stage], float, bool, float]:
    """Stages, |masked - removed| before tuning, whether the reloaded file scored the same, minutes."""
    stages: dict[str, Stage] = {}
    surgery, verified, start = 0.0, False, time.monotonic()
    with tempfile.TemporaryDirectory() as out:
        for event in carry_out(
            MODELS[recipe.workload](), recipe, Path(out), Called("sample_models", "workload", (recipe.workload,))
        ):
            if isinstance(event, StageMeasured):
                stages[event.stage] = event.result
                print(f"{recipe.workload} {event.stage}: {100 * event.result.score:.2f} %", file=sys.stderr)
            elif isinstance(event, SurgeryChecked) and event.stage == "pruned":
                surgery = event.max_difference
            elif isinstance(event, Verified):
                verified = event.same
    return stages, surgery, verified, (time.monotonic() - start) / 60
