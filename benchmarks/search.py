"""Which sparsity each layer gets: the search beside six other ways, all with the same repair and no training.

Then the search by itself: with little lost, and with a training after it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from statistics import mean
from typing import Any, NamedTuple

import torch

from benchmarks.report import Report, Target
from pruning.api.progress import last_value
from pruning.criteria import CRITERIA
from pruning.errors import RecipeError
from pruning.granularities import Channels, Granularity, Weights
from pruning.level_search.engine import search
from pruning.level_search.joint_cuts import JointCuts, joint_cuts
from pruning.level_search.result import Searched
from pruning.pipeline.one_shot import Decision
from pruning.recipe.recipe import Recipe
from pruning.repair import Block, LeastSquares, Repair
from pruning.repair.mended import mended
from pruning.repair.repair import Cut
from pruning.run.engine import prune
from pruning.selection.allocation import erk
from pruning.selection.amounts import Budget, Measure, PerLayer
from pruning.selection.goal import Goal
from pruning.selection.scopes import Global, WithinLayer
from pruning.training.distillation import Logits
from pruning.training.tuning import Tuning
from sample_models import MODELS

CPU = torch.device("cpu")
SEEDS = (0, 1, 2)
LONGEST_S = 150.0


class Case(NamedTuple):
    """A network, and how much of its cost may be left."""

    network: str
    criterion: str
    granularity: Granularity
    cost: Measure
    budget: float

    def recipe(self, seed: int, repair: Repair) -> Recipe:
        return Recipe(self.network, CRITERIA[self.criterion](), self.granularity, seed=seed, repair=repair)


CASES = (
    Case("fashion_cnn", "magnitude", Weights(), "parameters", 0.05),
    Case("lenet_300_100", "magnitude", Weights(), "parameters", 0.05),
    Case("fashion_resnet", "taylor", Channels(), "macs", 0.5),
)
SHALLOW = Case("fashion_resnet", "taylor", Channels(), "macs", 0.73)
LONG = Block(samples=4096, steps=200, learning_rate=3e-4)
DEEPER = Case("fashion_resnet", "taylor", Channels(), "macs", 0.6)
SHORT_S = 60.0
"""Of the search before a training: both together take three minutes at most."""
TAUGHT = Tuning(3, "adamw", 0.001)
RIVALS = ("uniform", "global magnitude", "ERK", "LAMP", "random search", "Optuna TPE")


def measure() -> Report:
    """The search within a budget beside its rivals; the network with a fifth of a point lost; and asked speed-ups."""
    rows: list[dict[str, str | float]] = []
    won = dict.fromkeys(RIVALS, 0)
    longest = 0.0
    for case in CASES:
        for seed in SEEDS:
            scores, seconds, evaluations = _compared(case, seed)
            longest = max(longest, seconds)
            for rival in RIVALS:
                won[rival] += scores["search"] > scores[rival]
            row = {"network": case.network, "seed": seed, "left": case.budget, "evaluations": evaluations, "s": seconds}
            rows.append({**row, **{f"{way} (%)": score for way, score in scores.items()}})
    drops, took = _shallow()
    figures = {f"search scores more than {rival}, of {len(CASES) * len(SEEDS)}": float(won[rival]) for rival in RIVALS}
    targets = {name: Target(at_least=8) for name in figures}
    of_drop = "fashion_resnet, 27 % fewer MACs, no training: points of the test score lost, mean of three seeds"
    figures |= {of_drop: mean(drops), "the longest search (s)": max(longest, took)}
    targets |= {of_drop: Target(at_most=0.2), "the longest search (s)": Target(at_most=180)}
    drops, took = _tuned()
    of_drop = "fashion_resnet, 40 % fewer MACs, with tuning: points of the test score lost, mean of three seeds"
    figures |= {of_drop: mean(drops), "the longest search with its tuning (s)": took}
    targets |= {of_drop: Target(at_most=0.3), "the longest search with its tuning (s)": Target(at_most=180)}
    return Report(figures, targets, rows)


def _compared(case: Case, seed: int) -> tuple[Mapping[str, float], float, int]:
    """Way -> test score in percent; how long the search took, and how many evaluations it and the others had."""
    recipe = case.recipe(seed, LeastSquares())
    found, seconds = _searched(recipe, Goal(case.cost, budget=case.budget))
    cuts = joint_cuts(MODELS[case.network](), recipe, CPU)
    assert found.best is not None
    count = found.evaluations
    scores = {"search": _test_score(cuts, cuts.ranked.decide(PerLayer(found.best.shares)))}
    ways: dict[str, Callable[[], Decision]] = {
        "uniform": lambda: _by_scope(case, recipe, recipe.criterion, WithinLayer()),
        "global magnitude": lambda: _by_scope(case, recipe, CRITERIA["magnitude"](), Global()),
        "ERK": lambda: _by_erk(cuts, case),
        "LAMP": lambda: _by_scope(case, recipe, CRITERIA["lamp"](), Global()),
        "random search": lambda: _by_lot(cuts, case, count, seed),
        "Optuna TPE": lambda: _by_tpe(cuts, case, count, seed),
    }
    for way, decided in ways.items():
        try:
            scores[way] = _test_score(cuts, decided())
        except RecipeError as error:
            _tell(f"{way}: {error}")
            scores[way] = _test_score(cuts, ways["global magnitude"]())
        _tell(f"{case.network}, seed {seed}, {count} evaluations, {way}: {scores[way]:.2f} %; {scores['search']:.2f} %")
    return scores, seconds, count


def _searched(recipe: Recipe, goal: Goal, longest_s: float = LONGEST_S) -> tuple[Searched, float]:
    begun = time.perf_counter()
    making = search(MODELS[recipe.workload](), recipe, goal, longest_s, CPU)
    while True:
        try:
            next(making)
        except StopIteration as end:
            return end.value, time.perf_counter() - begun


def _test_score(cuts: JointCuts, decision: Decision) -> float:
    """In percent, after the recipe's repair."""
    model = decision.masked_copy(cuts.dense)
    mended(cuts.recipe.repair, Cut(model, cuts.dense, decision.masks), cuts.workload, CPU, cuts.recipe.seed)
    test = type(cuts.validation)(cuts.workload.test, cuts.workload.task, CPU)
    return 100 * test.score(model)


def _by_scope(case: Case, recipe: Recipe, criterion: Any, scope: Any) -> Decision:
    """What a criterion prunes in a scope, within the budget."""
    from pruning.criteria import unit_scores
    from pruning.criteria.calibration import Calibration
    from pruning.model.costs import cost_model
    from pruning.model.preparation import open_model
    from pruning.pipeline.eligibility import chosen_groups
    from pruning.pipeline.one_shot import rank_units

    work = MODELS[case.network]()
    made = Recipe(case.network, criterion, case.granularity, scope, Budget(case.cost, case.budget), seed=recipe.seed)
    dense = open_model(work, CPU)
    groups = chosen_groups(work, made, dense)
    scores = unit_scores(criterion, dense, groups, Calibration(work, CPU, recipe.seed))
    return rank_units(made, groups, scores, cost_model(dense, work.example)).decide(made.amount)


def _by_erk(cuts: JointCuts, case: Case) -> Decision:
    """The smallest share by Erdős–Rényi-Kernel that keeps to the budget."""
    low, high = 0.0, 1.0
    shapes = cuts.ranked.cost.shapes

    def pruned(share: float) -> Mapping[str, int]:
        return {name: round(each * cuts.units[name]) for name, each in erk(cuts.groups, shapes, share).items()}

    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if cuts.left(case.cost, pruned(middle)) > case.budget else (low, middle)
    return cuts.decision(pruned(high))


BAND = 0.9
"""Level vectors are evaluated that leave at least so much of the budget; others are passed over and cost nothing."""


MOST_ASKED = 2000
"""Level vectors that Optuna is asked for at most."""


def _levels(cuts: JointCuts) -> Sequence[float]:
    if cuts.ranked.removable:
        return [step / 16 for step in range(16)]
    return [1 - 2 ** (-step / 3) for step in range(26)]


def _score(cuts: JointCuts, pruned: Mapping[str, int]) -> float:
    making = cuts.trial(pruned, cuts.recipe.repair)
    while True:
        try:
            next(making)
        except StopIteration as end:
            return cuts.validation.score(end.value)


def _fits(cuts: JointCuts, case: Case, pruned: Mapping[str, int]) -> bool:
    return BAND * case.budget <= cuts.left(case.cost, pruned) <= case.budget


def _by_lot(cuts: JointCuts, case: Case, count: int, seed: int) -> Decision:
    """The best on validation of so many level vectors by lot."""
    lots, levels = Random(seed), _levels(cuts)
    tried: list[tuple[float, Mapping[str, int]]] = []
    while len(tried) < count:
        pruned = {name: round(lots.choice(levels) * units) for name, units in cuts.units.items()}
        if _fits(cuts, case, pruned):
            tried.append((_score(cuts, pruned), pruned))
    return cuts.decision(max(tried, key=lambda each: each[0])[1])


def _by_tpe(cuts: JointCuts, case: Case, count: int, seed: int) -> Decision:
    """The best on validation of so many level vectors by Optuna's tree-structured Parzen estimator."""
    try:
        import optuna
    except ImportError:
        raise SystemExit("this benchmark compares with Optuna: pip install optuna") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True))
    levels = _levels(cuts)
    tried: list[tuple[float, Mapping[str, int]]] = []
    for _ in range(MOST_ASKED):
        trial = study.ask()
        places = {name: trial.suggest_int(name, 0, len(levels) - 1) for name in cuts.units}
        pruned = {name: round(levels[place] * cuts.units[name]) for name, place in places.items()}
        if _fits(cuts, case, pruned):
            tried.append((_score(cuts, pruned), pruned))
            study.tell(trial, tried[-1][0])
        else:  # told how far it lies from the budget, which costs no evaluation
            study.tell(trial, -abs(cuts.left(case.cost, pruned) / case.budget - 1))
        if len(tried) == count:
            break
    return cuts.decision(max(tried, key=lambda each: each[0])[1])


def _shallow() -> tuple[list[float], float]:
    """Points of the test score that 27 % of the MACs cost, for each seed; and the longest search in seconds."""
    drops: list[float] = []
    longest = 0.0
    for seed in SEEDS:
        recipe = SHALLOW.recipe(seed, LONG)
        found, seconds = _searched(recipe, Goal(SHALLOW.cost, budget=SHALLOW.budget))
        cuts = joint_cuts(MODELS[SHALLOW.network](), recipe, CPU)
        assert found.best is not None
        test = type(cuts.validation)(cuts.workload.test, cuts.workload.task, CPU)
        dense = 100 * test.score(cuts.dense)
        drops.append(dense - _test_score(cuts, cuts.ranked.decide(PerLayer(found.best.shares))))
        longest = max(longest, seconds)
        _tell(f"27 % fewer MACs, seed {seed}: {found.best.cost:.4f} left, {drops[-1]:.2f} points lost, {seconds:.0f} s")
    return drops, longest


def _tuned() -> tuple[list[float], float]:
    """Points of the test score that 40 % of the MACs cost where the network is tuned too; and the longest in seconds.

    The dense network teaches. The seconds are those of the search and of the whole run: repair, training, every stage
    measured on both splits.
    """
    drops: list[float] = []
    longest = 0.0
    for seed in SEEDS:
        recipe = replace(DEEPER.recipe(seed, LeastSquares()), tuning=TAUGHT, distillation=Logits())
        found, seconds = _searched(recipe, Goal(DEEPER.cost, budget=DEEPER.budget), longest_s=SHORT_S)
        assert found.best is not None
        begun = time.perf_counter()
        stages = last_value(prune(MODELS[DEEPER.network](), found.best.recipe(recipe), CPU)).stages
        seconds += time.perf_counter() - begun
        drops.append(100 * (stages["dense"].score - stages["tuned"].score))
        longest = max(longest, seconds)
        left = stages["tuned"].macs / stages["dense"].macs
        _tell(f"40 % fewer MACs, tuned, seed {seed}: {left:.4f} left, {drops[-1]:.2f} points lost, {seconds:.0f} s")
    return drops, longest


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
