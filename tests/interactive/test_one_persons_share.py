"""One person who asks for ever more things makes nothing grow and does not take what others use out of memory."""

from collections import Counter
from dataclasses import replace

import pytest

from pruning.criteria import OptimalBrainDamage
from pruning.granularities import Weights
from pruning.interactive import queries, session
from pruning.interactive.ongoing_works import Ongoing, OngoingWorks
from pruning.interactive.session import PreviewSession
from pruning.model.memory import bytes_of
from pruning.recipe.recipe import Recipe
from pruning.repair import LeastSquares
from pruning.selection.amounts import Sparsity
from tests.networks import CPU, tiny


def bench() -> PreviewSession:
    return PreviewSession({"mlp": lambda: tiny("mlp", count=200)}, CPU)


def slow(seed: int) -> Recipe:
    return Recipe("mlp", OptimalBrainDamage("hutchinson", samples=60, probes=900), Weights(), seed=seed)


def share(lab: PreviewSession, seed: int) -> float:
    return queries.score(lab, slow(seed), 0.0).share


def latest(works: OngoingWorks) -> Ongoing:
    return next(reversed(works._works.values()))  # pyright: ignore[reportPrivateUsage]


def test_scorings_that_are_begun_one_after_the_other_take_no_more_than_the_cache():
    """Room for three copies of the network. What another goes on with in turns is never the oldest."""
    lab = bench()
    share(lab, 0)
    works = lab._ongoing  # pyright: ignore[reportPrivateUsage]
    other = latest(works)
    works._most_bytes = 3 * other.bytes  # pyright: ignore[reportPrivateUsage]
    before = 0.0
    begun = [other]
    for seed in range(1, 12):
        share(lab, seed)
        begun.append(latest(works))
        assert share(lab, 0) > before
        before = share(lab, 0)
        assert len(works) <= 3
    assert not other.abandoned and sum(not one.abandoned for one in begun) <= 3


def test_a_file_waits_for_room_and_ends_nobodys_repair_or_scoring():
    """Were it to end what goes on, and that to end it, a large network's repair and file would begin anew for ever."""
    lab = bench()
    recipe = Recipe("mlp", amount=Sparsity(0.5))
    share(lab, 0)
    works = lab._ongoing  # pyright: ignore[reportPrivateUsage]
    scoring = latest(works)
    works._most_bytes = scoring.bytes  # pyright: ignore[reportPrivateUsage]
    assert lab.packed(recipe, 60.0) is None and not scoring.abandoned and latest(works) is scoring
    scoring.give_up()
    assert lab.packed(recipe, 60.0) is not None


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


def test_positions_that_were_left_long_ago_do_not_fill_the_cache(monkeypatch: pytest.MonkeyPatch):
    """What is known of the last three is kept, with and without a repair; of the others nothing."""
    monkeypatch.setattr(session, "MOST_CUTS", 3)
    lab = bench()
    positions = [Recipe("mlp", amount=Sparsity(n / 10)) for n in range(1, 9)]
    repaired = [replace(recipe, repair=LeastSquares()) for recipe in positions]
    trials = [lab.trial(recipe) for recipe in positions]
    held = lab._cache.currsize  # pyright: ignore[reportPrivateUsage]
    mended = [lab.repaired(recipe, 60.0) for recipe in repaired]
    assert lab.repaired(repaired[-1], 0.0) is mended[-1] and lab.repaired(repaired[-4], 60.0) is not mended[-4]
    assert lab.trial(positions[-1]) is not trials[-1]  # three repaired ones have come since
    kinds = Counter(str(key[0]) for key in lab._cache)  # type: ignore[index]  # pyright: ignore[reportPrivateUsage]
    assert kinds["_decision"] == 3 and kinds["_trial"] + kinds["_repaired_trial"] == 3
    assert lab._cache.currsize < 2 * held  # pyright: ignore[reportPrivateUsage]


def test_what_is_known_of_a_model_counts_once_however_many_cuts_it_has():
    lab = bench()
    opened = lab.opened("mlp")
    trial = lab.trial(Recipe("mlp"))
    assert bytes_of(trial) < bytes_of(trial.model) + 4 * len(opened.known.scores) + 200 < bytes_of(opened)
