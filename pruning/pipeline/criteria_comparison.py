"""Criteria side by side: the same model, the same amount; what each costs, what it leaves, and how far they agree."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pruning.criteria import Criterion, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.criteria.pass_counter import PassCount, counted
from pruning.errors import PruningError, RecipeError, WorkloadError, describe
from pruning.evaluation.accuracy import Evaluator
from pruning.evaluation.estimate import Estimate
from pruning.model.costs import CostModel, cost_model
from pruning.model.preparation import open_model
from pruning.model.units import UnitGroup
from pruning.pipeline.comparison import Agreement, Compared, Effort
from pruning.pipeline.eligibility import chosen_groups
from pruning.pipeline.one_shot import Decision, rank_units
from pruning.recipe.recipe import Recipe
from pruning.workload import Workload


def timed_scores(
    criterion: Criterion,
    model: nn.Module,
    groups: Sequence[UnitGroup],
    calibration: Calibration,
    at_each_pass: Callable[[PassCount], None] | None = None,
) -> tuple[dict[str, Tensor], Effort]:
    """The scores as `unit_scores` gives them, and what they took. `at_each_pass` may wait: so scoring can pause."""
    start = time.perf_counter()
    with counted(model, at_each_pass) as passes:
        scores = unit_scores(criterion, model, groups, calibration)
    return scores, Effort(time.perf_counter() - start, passes.forward, passes.backward)


def agreement(scores: Mapping[str, Mapping[str, Tensor]], keep: Mapping[str, Mapping[str, Tensor]]) -> Agreement:
    """From each kind's scores and what it keeps, both group name -> [units]; over the groups that all have.

    RecipeError where they have none in common.
    """
    kinds = tuple(scores)
    common = [name for name in keep[kinds[0]] if all(name in keep[kind] and name in scores[kind] for kind in kinds)]
    if not common:
        raise RecipeError(f"{', '.join(kinds)} score no layer in common: compare fewer criteria")
    ranks = _spearman([torch.cat([scores[kind][name] for name in common]) for kind in kinds])
    pruned = torch.stack([~torch.cat([keep[kind][name] for name in common]) for kind in kinds]).double()
    both = pruned @ pruned.T
    return Agreement(kinds, ranks, (both / both.diagonal()[:, None]).numpy())


def agreement_of(decisions: Mapping[str, Decision]) -> Agreement:
    """How far decisions agree, each by the kind of its criterion; as `agreement`."""
    scores = {kind: decision.scores for kind, decision in decisions.items()}
    return agreement(scores, {kind: decision.keep for kind, decision in decisions.items()})


def _spearman(scores: Sequence[Tensor]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Spearman's correlation of every two rows of scores; 0 with a row that does not vary, 1 of each with itself."""
    from scipy.stats import rankdata  # late: a worker that compares nothing does without it

    ranks = np.stack([rankdata(row.numpy()) for row in scores])  # ties share their mean rank
    varies = ranks.std(axis=1) > 0
    found = np.zeros((len(ranks), len(ranks)))
    if varies.any():
        found[np.ix_(varies, varies)] = np.corrcoef(ranks[varies])
    np.fill_diagonal(found, 1.0)
    return found.clip(-1.0, 1.0)


def compare_all(
    workload: Workload, recipes: Mapping[str, Recipe], device: torch.device
) -> tuple[float, list[Compared], Agreement | None]:
    """The dense validation score, every criterion's cut evaluated on all of the split, and how far they agree.

    None for the agreement where fewer than two could score, or no layer in common.
    """
    model, validation = open_model(workload, device), Evaluator(workload.validation, workload.task, device)
    try:
        dense = validation.score(model)
    except Exception as error:  # what a stranger's forward raises on a whole batch
        raise WorkloadError(
            f"{workload.name}: the model or its task does not take a batch of validation samples ({describe(error)}); "
            "mend the model or its data"
        ) from error
    example = workload.example.to(device)
    cost = cost_model(model, example)
    rows: list[Compared] = []
    decisions: dict[str, Decision] = {}
    for kind, recipe in recipes.items():
        try:
            decision, effort = _timed_decision(model, workload, recipe, cost, device)
            pruned = decision.pruned_copy(model, example)
        except PruningError as error:
            rows.append(Compared(kind, problem=str(error)))
            continue
        decisions[kind] = decision
        score = validation.score(pruned)
        estimate = Estimate(score, 0.0, score - dense, len(validation), len(validation))
        rows.append(Compared(kind, decision.counts.units, decision.counts.pruned, effort, estimate))
    agreed = None
    if len(decisions) > 1:
        with contextlib.suppress(RecipeError):  # no layer in common: the rows are true all the same
            agreed = agreement_of(decisions)
    return dense, rows, agreed


def _timed_decision(
    model: nn.Module, workload: Workload, recipe: Recipe, cost: CostModel, device: torch.device
) -> tuple[Decision, Effort]:
    """What the recipe prunes of the model in one shot, and what scoring took."""
    groups = chosen_groups(workload, recipe, model)
    scores, effort = timed_scores(recipe.criterion, model, groups, Calibration(workload, device, recipe.seed))
    return rank_units(recipe, groups, scores, cost).decide(recipe.amount), effort
