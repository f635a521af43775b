"""How well a cut network is healed by each way of tuning, in the same number of steps: curves, averages, teachers."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from statistics import mean

from benchmarks.report import Report, Target
from pruning.model.devices import default_device
from pruning.recipe.recipe import Recipe
from pruning.run.engine import prune
from pruning.selection.amounts import Sparsity
from pruning.training.distillation import Distillation, Features, Logits, NoDistillation, Outputs
from pruning.training.tuning import Tuning
from pruning.workload import Split, TensorSplit
from sample_models import MODELS

SEEDS = (0, 1, 2)
FEW = 1000
"""Training images: with few of them a network learns most from a teacher."""
EPOCHS = {"fashion_cnn": 40, "lenet_300_100": 20}
"""Network -> passes over these images after a cut of 95 % of the weights."""

PLAIN = Tuning(learning_rate=0.03)
WAYS: Mapping[str, tuple[Tuning, Distillation]] = {
    "one_cycle": (PLAIN, NoDistillation()),
    "cosine": (replace(PLAIN, curve="cosine"), NoDistillation()),
    "linear": (replace(PLAIN, curve="linear"), NoDistillation()),
    "constant": (replace(PLAIN, curve="constant"), NoDistillation()),
    "constant, averaged": (replace(PLAIN, curve="constant", average=0.98), NoDistillation()),
    "label smoothing": (replace(PLAIN, label_smoothing=0.1), NoDistillation()),
    "mixup": (replace(PLAIN, mixup=0.2), NoDistillation()),
    "logits": (PLAIN, Logits()),
    "logits at T = 4": (PLAIN, Logits(temperature=4.0)),
    "logits of fashion_resnet": (PLAIN, Logits(teacher="fashion_resnet")),
    "outputs": (PLAIN, Outputs()),
    "features": (PLAIN, Features()),
}
"""Way -> tuning and distillation. All but the first four fall along one cycle, or say their curve."""


def measure() -> Report:
    """Each way on each network, three seeds: mean accuracy on the 10 000 test images, in percent."""
    rows: list[dict[str, str | float]] = []
    found: dict[tuple[str, str], float] = {}
    for way, (tuning, distillation) in WAYS.items():
        row: dict[str, str | float] = {"way": way}
        for network, epochs in EPOCHS.items():
            recipe = Recipe(
                network, amount=Sparsity(0.95), tuning=replace(tuning, epochs=epochs), distillation=distillation
            )
            scores = [_healed(recipe, seed) for seed in SEEDS]
            found[network, way] = row[f"{network} (%)"] = 100 * mean(scores)
            print(f"{network}, {way}: {', '.join(f'{100 * score:.2f}' for score in scores)}", file=sys.stderr)
        rows.append(row)
    against = {"constant, averaged": "constant", "cosine": "constant", "features": "one_cycle", "logits": "one_cycle"}
    figures = {
        f"{network}: {way} over {other} (points)": found[network, way] - found[network, other]
        for network in EPOCHS
        for way, other in against.items()
    }
    return Report(figures, {name: Target(at_least=0.0) for name in figures}, rows)


def _healed(recipe: Recipe, seed: int) -> float:
    """The test score after the cut and its tuning on few images."""
    workload = MODELS[recipe.workload]()
    few = replace(workload, train=_first(workload.train, FEW), validation=_first(workload.validation, FEW))
    run = prune(few, replace(recipe, seed=seed), default_device())
    while True:
        try:
            next(run)
        except StopIteration as end:
            return end.value.stages["tuned"].score


def _first(split: Split, count: int) -> TensorSplit:
    """The split's first samples."""
    if not isinstance(split, TensorSplit):
        raise TypeError("the sample models hold their images in memory")
    return TensorSplit(split.inputs[:count], split.targets[:count], split.prepare, split.augment)
