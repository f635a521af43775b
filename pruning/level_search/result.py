"""What a search has found so far: points of cost and score, each with the recipe that leads there. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pruning.metric import ACCURACY, Metric
from pruning.recipe.recipe import Recipe, to_dict
from pruning.selection.amounts import PerLayer
from pruning.selection.goal import Goal
from pruning.selection.scopes import WithinLayer

Provenance = Literal["estimated", "measured"]


@dataclass(frozen=True)
class FrontPoint:
    """A cut: what it leaves of the cost, and what it loses.

    Attributes:
        shares: Group -> share of its units that is pruned.
        cost: Share of the dense network's cost that is left.
        drop: How much worse than dense the validation score is, in the unit of the metric; below 0 if it is better.
        half_width: Of the 95 % interval of an estimated drop; 0 where it is measured.
        provenance: `measured`: the cut was made, repaired and evaluated on all validation samples. `estimated`: added
            up from what each group alone disturbs.
        expected_drop: The drop as the dense network's own probabilities say, with less noise: see `disturbance.py`.
    """

    shares: Mapping[str, float]
    cost: float
    drop: float
    half_width: float
    provenance: Provenance
    expected_drop: float = 0.0

    def recipe(self, recipe: Recipe) -> Recipe:
        """The recipe with these sparsities of its layers; whatever else it says stays as it is."""
        return replace(recipe, scope=WithinLayer(), amount=PerLayer(dict(self.shares)))


@dataclass(frozen=True)
class Searched:
    """A search, as far as it has come.

    Attributes:
        goal: What it is for.
        recipe: Criterion, granularity, repair and seed of all cuts.
        phase: What it is doing, in words; empty once it is done.
        front: Cost against loss, the cheapest first; the best is among them.
        best: The measured point that fits the goal best; None before one was measured.
        met: Whether `best` keeps to the limits of the goal.
        evaluations: Networks that were cut, repaired and evaluated.
        planned: How many there will be, about.
        dense: The dense network's validation score.
        dense_cost: Its cost: parameters, bytes, MACs or milliseconds.
        seconds: Since the search began.
        metric: What the scores are.
        note: A sentence where something is not as asked; else empty.
    """

    goal: Goal
    recipe: Recipe
    phase: str
    front: tuple[FrontPoint, ...]
    best: FrontPoint | None
    met: bool
    evaluations: int
    planned: int
    dense: float
    dense_cost: float
    seconds: float
    metric: Metric = ACCURACY
    note: str = ""

    @property
    def done(self) -> bool:
        return not self.phase


def plain(found: Searched) -> dict[str, Any]:
    """A JSON-able dict; scores and drops in the unit of the metric, each point with its recipe."""
    points = [{**asdict(point), "recipe": to_dict(point.recipe(found.recipe))} for point in found.front]
    best = None if found.best is None else {**asdict(found.best), "recipe": to_dict(found.best.recipe(found.recipe))}
    rest = {"recipe": to_dict(found.recipe), "goal": asdict(found.goal), "metric": asdict(found.metric)}
    simple = ("phase", "met", "evaluations", "planned", "dense", "dense_cost", "seconds", "note", "done")
    return {"version": 1, **rest, **{name: getattr(found, name) for name in simple}, "best": best, "front": points}


def keeps(point: FrontPoint, goal: Goal, tolerance: float = 1e-9) -> bool:
    """Whether the point lies within the limits of the goal."""
    within = goal.budget is None or point.cost <= goal.budget * (1 + tolerance)
    return within and (goal.max_drop is None or point.drop <= goal.max_drop + tolerance)


def undominated(points: Sequence[FrontPoint]) -> tuple[FrontPoint, ...]:
    """The points of which no other, as well known, is cheaper and loses less; the cheapest first.

    An estimated point leaves the front where a measured one is better; no estimate pushes out what was measured.
    """
    order = sorted(points, key=lambda point: (point.cost, point.drop, point.provenance))
    kept: list[FrontPoint] = []
    for at, point in enumerate(order):
        rivals = [other for other in order[:at] if other.provenance == "measured" or point.provenance == "estimated"]
        if all(other.drop > point.drop for other in rivals):
            kept.append(point)
    return tuple(kept)


def with_best(front: tuple[FrontPoint, ...], best: FrontPoint | None) -> tuple[FrontPoint, ...]:
    """The front with the best point in it, which is chosen by its expected drop and may lose a little more by chance.

    Whoever reads of it finds it in the drawing.
    """
    if best is None or best in front:
        return front
    return tuple(sorted((*front, best), key=lambda point: (point.cost, point.drop)))


def to_verify(found: Searched, goal: Goal) -> FrontPoint | None:
    """The point that answers another goal of the same cost, where it is only estimated; None where nothing is to do."""
    if not found.done or goal.cost != found.goal.cost:
        return None
    point = nearest(found, goal)
    return point if point is not None and point.provenance == "estimated" else None


def nearest(found: Searched, goal: Goal) -> FrontPoint | None:
    """The point of the front that answers another goal of the same cost: at once, and perhaps only estimated.

    The cheapest that keeps to its limits, or within a budget the one that loses least; None where none does.
    """
    within = [point for point in found.front if keeps(point, goal)]
    if goal.budget is None:
        return min(within, key=lambda point: point.cost, default=None)
    return min(within, key=lambda point: point.drop, default=None)
