"""What is left of a cut network's accuracy with each repair: no labels and no training on the task."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from benchmarks.report import Report, Target
from pruning.criteria import Criterion, Magnitude, Taylor, unit_scores
from pruning.criteria import Random as RandomScores
from pruning.criteria.calibration import Calibration
from pruning.evaluation.accuracy import Evaluator
from pruning.granularities import Channels, Granularity, Weights
from pruning.model.costs import cost_model
from pruning.model.preparation import open_model
from pruning.model.units import apply_masks
from pruning.pipeline.eligibility import chosen_groups
from pruning.pipeline.one_shot import Decision, rank_units
from pruning.recipe.recipe import Recipe
from pruning.repair import REPAIRS, LeastSquares
from pruning.repair.mended import Mended, mended
from pruning.repair.repair import Cut, Repair
from pruning.selection.amounts import Sparsity
from pruning.selection.scopes import Global, Scope, WithinLayer
from pruning.workload import Workload
from sample_models import MODELS

CPU = torch.device("cpu")
SEEDS = (0, 1, 2)


class Case(NamedTuple):
    """A cut; `reach` is what the best repair has to reach on validation, in percent, within ten seconds."""

    name: str
    network: str
    criterion: Criterion
    granularity: Granularity
    scope: Scope
    share: float
    reach: float


CASES = (
    Case("cnn, 90 %", "fashion_cnn", Magnitude(), Weights(), Global(), 0.9, 88.5),
    Case("cnn, 95 %", "fashion_cnn", Magnitude(), Weights(), Global(), 0.95, 80.0),
    Case("lenet, 90 %", "lenet_300_100", Magnitude(), Weights(), Global(), 0.9, 86.0),
    Case("lenet, 95 %", "lenet_300_100", Magnitude(), Weights(), Global(), 0.95, 74.0),
    Case("resnet, magnitude", "fashion_resnet", Magnitude(), Channels(), WithinLayer(), 0.5, 89.0),
    Case("resnet, Taylor", "fashion_resnet", Taylor(), Channels(), Global(), 0.5, 92.5),
)
CUTS = 500
"""Cuts by lot, each with a repair by lot: after none of them may a network score less than before."""
QUICK = ("batchnorm", "bias", "rescale", "least_squares", "optimal_brain")


def measure() -> Report:
    """Every repair on six cuts with three seeds; then 500 cuts by lot. Accuracies on the validation split."""
    rows: list[dict[str, str | float]] = []
    figures: dict[str, float] = {}
    targets: dict[str, Target] = {}
    for case in CASES:
        found = _repaired(case)
        dense, cut = found["dense"][0], found["cut"][0]
        rows += [
            {"cut": case.name, "dense (%)": dense, "cut (%)": cut, "repair": kind, "repaired (%)": score, "s": seconds}
            for kind, (score, seconds) in found.items()
            if kind in REPAIRS
        ]
        in_time = [score for kind, (score, seconds) in found.items() if kind in REPAIRS and seconds <= 10.0]
        figures[f"{case.name}: best within 10 s (%)"] = max(in_time, default=cut)
        targets[f"{case.name}: best within 10 s (%)"] = Target(at_least=case.reach)
    worse, taken_back = _by_lot()
    figures["largest difference from rows solved one by one"] = _from_brute_force()
    targets["largest difference from rows solved one by one"] = Target(at_most=1e-5)
    figures |= {
        f"of {CUTS} repairs, scored less than before by more than the interval": worse,
        "taken back": taken_back,
    }
    targets[f"of {CUTS} repairs, scored less than before by more than the interval"] = Target(at_most=0)
    return Report(figures, targets, rows)


def _decided(case: Case, seed: int) -> tuple[Workload, nn.Module, Decision]:
    work = MODELS[case.network]()
    recipe = Recipe(case.network, case.criterion, case.granularity, case.scope, Sparsity(case.share), seed=seed)
    dense = open_model(work, CPU)
    groups = chosen_groups(work, recipe, dense)
    scores = unit_scores(recipe.criterion, dense, groups, Calibration(work, CPU, seed))
    return work, dense, rank_units(recipe, groups, scores, cost_model(dense, work.example)).decide(recipe.amount)


def _mended(
    repair: Repair, work: Workload, dense: nn.Module, decision: Decision, seed: int
) -> tuple[nn.Module, Mended]:
    model = decision.masked_copy(dense)
    return model, mended(repair, Cut(model, dense, decision.masks), work, CPU, seed)


def _repaired(case: Case) -> Mapping[str, tuple[float, float]]:
    """Dense, cut and every repair -> accuracy in percent and seconds, the mean over the seeds."""
    sums: dict[str, list[tuple[float, float]]] = {}
    for seed in SEEDS:
        work, dense, decision = _decided(case, seed)
        scored = Evaluator(work.validation, work.task, CPU)
        sums.setdefault("dense", []).append((100 * scored.score(dense), 0.0))
        sums.setdefault("cut", []).append((100 * scored.score(decision.masked_copy(dense)), 0.0))
        for kind, made in REPAIRS.items():
            if kind == "none":
                continue
            model, done = _mended(made(), work, dense, decision, seed)
            sums.setdefault(kind, []).append((100 * scored.score(model), done.seconds))
            print(f"{case.name}, seed {seed}, {kind}: {sums[kind][-1][0]:.2f} %", file=sys.stderr, flush=True)
    return {
        kind: (sum(score for score, _ in found) / len(found), sum(seconds for _, seconds in found) / len(found))
        for kind, found in sums.items()
    }


def _from_brute_force() -> float:
    """Of least squares on small layers by lot: each row's ridge regression by itself, as ordinary least squares."""
    largest, ridge = 0.0, LeastSquares().ridge
    for seed in range(20):
        draw = torch.Generator().manual_seed(seed)
        dense = nn.Sequential(nn.Linear(12, 7)).eval()
        inputs = torch.randn(300, 12, generator=draw) @ torch.randn(12, 12, generator=draw)
        masks = {"0.weight": torch.rand(7, 12, generator=draw) < 0.6}
        model = copy.deepcopy(dense)
        apply_masks(model, masks)
        before = _values(model)
        LeastSquares().mend(Cut(model, dense, masks), inputs, 0)
        read = np.hstack([inputs.double().numpy(), np.ones((300, 1))])
        with torch.no_grad():
            given = dense.double()(inputs.double()).numpy()
        pull = np.sqrt(ridge * (read**2).mean(0).mean() * 300)
        for row in range(7):
            live = [*masks["0.weight"][row].nonzero().flatten().tolist(), 12]
            old = before[row, live]
            left = np.vstack([read[:, live], pull * np.eye(len(live))])
            found = np.linalg.lstsq(left, np.concatenate([given[:, row], pull * old]), rcond=None)[0]
            largest = max(largest, float(abs(found - _values(model)[row, live]).max()))
    return largest


def _values(model: nn.Module) -> np.ndarray:
    """Weight and bias of its one layer side by side, float64 [out, in + 1]."""
    weight, bias = (model.get_parameter(f"0.{name}").detach().double() for name in ("weight", "bias"))
    return torch.cat([weight, bias[:, None]], dim=1).numpy()


def _by_lot() -> tuple[int, int]:
    """How many repairs left a network that scores less than the cut one by more than the interval; and taken back."""
    lots, worse, taken_back = Random(0), 0, 0
    for number in range(CUTS):
        case = Case(
            "", lots.choice(("fashion_cnn", "lenet_300_100")), lots.choice((Magnitude(), RandomScores())),
            lots.choice((Weights(), Channels())), lots.choice((Global(), WithinLayer())), lots.uniform(0.05, 0.97), 0.0,
        )  # fmt: skip
        work, dense, decision = _decided(case, number)
        scored = Evaluator(work.validation, work.task, CPU)
        before = scored.score(decision.masked_copy(dense))
        kind = lots.choice(QUICK)
        model, done = _mended(REPAIRS[kind](), work, dense, decision, number)
        after = scored.score(model)
        taken_back += not done.helped
        # of a share p of n samples the 95 % interval is 1.96 √(p (1 − p) / n)
        interval = 1.96 * (max(before * (1 - before), 1e-4) / len(work.validation)) ** 0.5
        if after < before - interval:
            worse += 1
            print(
                f"cut {number}: {case[1:-1]}, {kind}: {before:.4f} -> {after:.4f}, {done}", file=sys.stderr, flush=True
            )
    return worse, taken_back
