"""LeNet-300-100 and LeNet-5 on MNIST at the compressions of published results, by recipes of this project.

Each finished run is a line in `runs.jsonl` in the folder that LITERATURE_KEEP names, by default `literature` beside the
data, and the next call goes on with what is missing. LITERATURE_SEEDS says which seeds, such as `0,1`; by default ten.
"""

import copy
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import ClassVar

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.history import ROOT
from benchmarks.literature_cases import CASES, Case
from benchmarks.mnist_pool import pool
from benchmarks.report import Report, Target
from pruning.api.progress import last_value
from pruning.errors import PruningError
from pruning.metric import ACCURACY, Metric
from pruning.model.devices import drawn_by
from pruning.reporting.literature import published
from pruning.reporting.sweep_table import mean
from pruning.run.engine import prune
from pruning.workload import Batch, TensorSplit, Workload

CPU = torch.device("cpu")
SEEDS = tuple(range(10))


@dataclass(frozen=True)
class Run:
    """A finished run. Errors are in percent; `values` are the weights that are not zero and such biases together."""

    network: str
    compression: float
    seed: int
    recipes: tuple[str, ...]
    error: float
    validation_error: float
    weights: int
    values: int
    seconds: float


class FromTeacher:
    """Cross entropy with the teacher's probabilities [b, 10]; the score is top-1 accuracy on class numbers [b]."""

    classes: tuple[str, ...] = ()
    metric: ClassVar[Metric] = ACCURACY

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        inputs, probabilities = batch
        return F.cross_entropy(model(inputs), probabilities)

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return (output.argmax(dim=1) == target).float()


@dataclass(frozen=True, eq=False)
class Digits:
    """What is learnt from, with a teacher's answers; images to choose by, and to report by."""

    train: TensorSplit
    validation: TensorSplit
    test: TensorSplit


def measure() -> Report:
    """Carry out what is missing; then the mean over seeds of each network at each compression."""
    example, seeds = mnist_example(), chosen_seeds()
    keep = Path(os.environ.get("LITERATURE_KEEP") or example.data_file().with_name("literature")).expanduser()
    keep.mkdir(parents=True, exist_ok=True)
    digits = cache(partial(digits_of, example, keep))
    runs = finished(keep / "runs.jsonl", CASES, seeds, lambda case, seed: carried_out(case, seed, example, digits()))
    return report(list(runs))


def mnist_example() -> ModuleType:
    """examples/mnist_lenet.py, which has the networks and the splits."""
    spec = importlib.util.spec_from_file_location("mnist_lenet", ROOT / "examples" / "mnist_lenet.py")
    assert spec is not None and spec.loader is not None  # the path ends in .py
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def chosen_seeds() -> tuple[int, ...]:
    """What LITERATURE_SEEDS says. PruningError where it names another than the ten."""
    asked = os.environ.get("LITERATURE_SEEDS") or ",".join(str(seed) for seed in SEEDS)
    seeds = tuple(int(part) if part.strip().isdecimal() else -1 for part in asked.split(","))
    if not set(seeds) <= set(SEEDS):
        raise PruningError(f"LITERATURE_SEEDS is {asked!r}; name some of the seeds 0 to {SEEDS[-1]}, such as 0,1")
    return seeds


def digits_of(example: ModuleType, keep: Path) -> Digits:
    """The splits of the example with a background of 0, and the teacher's answers from the folder or made now.

    On a background of 0 the weights of pixels that are never anything else learn nothing.
    """
    train, validation, test = (replace(split, prepare=shades) for split in example.splits(example.data_file()))
    return Digits(pool(train, keep), validation, test)


def shades(stored: Tensor) -> Tensor:
    """Stored images [b, 28, 28], uint8, as the networks take them: [b, 1, 28, 28] in [0, 1]."""
    return stored[:, None].float() / 255


def initial(network: Callable[[], nn.Module], seed: int) -> nn.Module:
    """The network as the seed initialises it."""
    with drawn_by(seed, CPU):
        return network().eval()


def finished(
    file: Path, cases: Iterable[Case], seeds: Iterable[int], carry_out: Callable[[Case, int], Run]
) -> Iterator[Run]:
    """The run of every case with every seed: as it was kept, or carried out now and kept.

    A run is kept by the names of its recipes too: recipes that have changed are carried out anew.
    """
    known = {(run.network, run.compression, run.seed, run.recipes): run for run in kept_runs(file)}
    for seed in seeds:
        for case in cases:
            names = tuple(recipe.name for recipe in case.seeded(seed))
            run = known.get((case.network, case.compression, seed, names))
            if run is None:
                run = carry_out(case, seed)
                with file.open("ab") as lines:
                    lines.write(b"\n" + msgspec.json.encode(run))  # behind a line that was cut off, too
                said = f"{case.network}, {case.compression:g} times fewer weights, seed {seed}"
                print(f"{said}: {run.error:.2f} % of the test images, {run.seconds:.0f} s", file=sys.stderr)
            yield run


def kept_runs(file: Path) -> list[Run]:
    """What earlier calls have finished; a line that was cut off is left out."""
    runs: list[Run] = []
    for line in file.read_bytes().splitlines() if file.exists() else ():
        with suppress(msgspec.DecodeError):
            runs.append(msgspec.json.decode(line, type=Run))
    return runs


def carried_out(case: Case, seed: int, example: ModuleType, digits: Digits) -> Run:
    """The recipes of a case one after the other, each on the network that the one before has left."""
    workload = Workload(
        case.network,
        partial(initial, getattr(example, case.module), seed),
        digits.validation.batch(torch.arange(1), CPU)[0],
        digits.train,
        digits.validation,
        digits.test,
        FromTeacher(),
    )
    begun, (*earlier, last) = time.monotonic(), case.seeded(seed)
    for recipe in earlier:
        workload = replace(workload, build=partial(copy.deepcopy, last_value(prune(workload, recipe, CPU)).model))
    result = last_value(prune(workload, last, CPU))
    tuned = result.stages["tuned"]
    left = {name: int(value.count_nonzero()) for name, value in result.model.named_parameters()}
    return Run(
        case.network,
        case.compression,
        seed,
        tuple(recipe.name for recipe in (*earlier, last)),
        100 * (1 - tuned.score),
        100 * (1 - tuned.validation),
        sum(count for name, count in left.items() if name.endswith("weight")),
        sum(left.values()),
        time.monotonic() - begun,
    )


def report(runs: Sequence[Run]) -> Report:
    """A row for each case that was run, and its mean error as a figure with a target."""
    rows: list[dict[str, str | float]] = []
    figures: dict[str, float] = {}
    targets: dict[str, Target] = {}
    for case in CASES:
        own = [run for run in runs if (run.network, run.compression) == (case.network, case.compression)]
        error = mean([run.error for run in own])
        spread = "" if error.half_width is None else f" ± {error.half_width:.2f}"
        name = f"{case.network}, {case.compression:g} times fewer weights, {error.count} seeds: test error (%)"
        figures[name], targets[name] = error.value, Target(at_most=case.at_most)
        rows.append(
            {
                "network": case.network,
                "compression": f"{case.compression:g}×",
                "weights left": own[0].weights,
                "biases left": own[0].values - own[0].weights,
                "test error (%)": f"{error.value:.2f}{spread}",
                "seeds": error.count,
                "published (%)": published_errors(case),
                "s (median)": median(run.seconds for run in own),  # some had to wait for other work
            }
        )
    return Report(figures, targets, rows)


def published_errors(case: Case) -> str:
    """What is published at the same compression, with the year; a dash where nothing is."""
    found = [each for each in published() if (each.workload, each.compression) == (case.network, case.compression)]
    return ", ".join(f"{each.error:.2f} ({each.method}, {each.year})" for each in found) or "–"
