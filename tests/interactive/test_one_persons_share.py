"""One person who asks for ever more things makes nothing grow and does not take what others use out of memory."""

from collections import Counter

import pytest

from pruning.criteria import OptimalBrainDamage
from pruning.granularities import Weights
from pruning.interactive import queries, session
from pruning.interactive.session import PreviewSession
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Sparsity
from tests.networks import CPU, tiny


def bench() -> PreviewSession:
    return PreviewSession({"mlp": lambda: tiny("mlp", count=200)}, CPU)


def slow(seed: int) -> Recipe:
    return Recipe("mlp", OptimalBrainDamage("hutchinson", samples=60, probes=900), Weights(), seed=seed)


def share(lab: PreviewSession, seed: int) -> float:
    return queries.score(lab, slow(seed), 0.0).share


def test_scorings_that_are_begun_one_after_the_other_take_no_more_than_the_cache(monkeypatch: pytest.MonkeyPatch):
    """Room for three copies of the network. What another goes on with in turns is never the oldest."""
    lab = bench()
    share(lab, 0)
    (other,) = lab._scorings.values()  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(session, "CACHE_BYTES", 3 * other.bytes)
    before = 0.0
    begun = [other]
    for seed in range(1, 12):
        share(lab, seed)
        begun.append(next(reversed(lab._scorings.values())))  # pyright: ignore[reportPrivateUsage]
        assert share(lab, 0) > before
        before = share(lab, 0)
        assert len(lab._scorings) <= 3  # pyright: ignore[reportPrivateUsage]
    assert not other.abandoned and sum(not one.abandoned for one in begun) <= 3


def test_what_others_use_in_turn_stays_however_much_one_person_asks(monkeypatch: pytest.MonkeyPatch):
    """A cache that many cuts do not fit into: between two looks at a slider others have a turn or two each."""
    lab = bench()
    made = Counter[float]()
    decide = PreviewSession._decision  # pyright: ignore[reportPrivateUsage]

    def counted(self: PreviewSession, recipe: Recipe) -> object:
        made[recipe.amount.share] += 1  # type: ignore[attr-defined]
        return decide(self, recipe)

    lab._decisions = lab._kept(lambda recipe: counted(lab, recipe))  # pyright: ignore[reportPrivateUsage]
    theirs, others = Recipe("mlp", amount=Sparsity(0.5)), [Recipe("mlp", amount=Sparsity(n / 1000)) for n in range(200)]
    lab.decision(theirs)
    used = lab._cache.currsize  # pyright: ignore[reportPrivateUsage]
    lab.decision(others[0])
    each = lab._cache.currsize - used  # pyright: ignore[reportPrivateUsage]
    lab._cache._Cache__maxsize = int(used + 8 * each)  # type: ignore[attr-defined]
    for recipe in others:
        lab.decision(recipe)
        lab.decision(theirs)
        assert lab._cache.currsize <= used + 8 * each  # pyright: ignore[reportPrivateUsage]
    assert made[0.5] == 1 and len(made) == 201
