"""Which settings go on: a contest over runs whose scores are known beforehand."""

import sys
from pathlib import Path
from typing import Any

import pytest

from pruning.errors import JobError
from pruning.halving.contest import Contest, Outcome, Wanted
from pruning.halving.halving import Halving
from pruning.halving.result import Score
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Sparsity
from pruning.sweeps.grid import Grid
from pruning.training.tuning import Tuning

SHARES = tuple(round(0.05 * step, 2) for step in range(1, 19))
HALVING = Halving(Grid(Recipe("mlp", tuning=Tuning(3)), {"amount.share": SHARES}), 9000)


class Runs:
    """Runs that are over at once: the less is pruned, the higher the score, and a longer training adds a little."""

    def __init__(self) -> None:
        self.begun: list[Recipe] = []
        self.over: dict[str, Outcome] = {}

    def look(self, recipe: Recipe) -> Outcome:
        return self.over.get(recipe.name, Outcome("waiting" if recipe in self.begun else "missing"))

    def carry_out(self, wanted: list[Wanted], contest: Contest) -> None:
        for each in wanted:
            contest.queued(each)
            self.begun.append(each.recipe)
            self.over[each.recipe.name] = Outcome("finished", self.score(each.recipe))

    def score(self, recipe: Recipe) -> Score:
        assert isinstance(recipe.amount, Sparsity)
        worth = 1 - recipe.amount.share + (recipe.tuning.images_per_epoch or 9000) / 1e6
        return Score(recipe.name, worth, 0.0, 0.5, worth)


def opened(folder: Path, runs: Runs, halving: Halving = HALVING) -> Contest:
    return Contest(halving, folder / "x.journal", runs.look)


def to_the_end(contest: Contest, runs: Runs, at_once: int = 1) -> None:
    while wanted := contest.step(at_once, begin=True):
        assert len(wanted) <= at_once
        runs.carry_out(wanted, contest)


@pytest.mark.parametrize("at_once", [1, 3])
def test_every_setting_is_tried_once_and_the_best_third_goes_on(tmp_path: Path, at_once: int) -> None:
    runs = Runs()
    contest = opened(tmp_path, runs)
    to_the_end(contest, runs, at_once)
    ranking = contest.ranking()
    assert sorted(entry.values["amount.share"] for entry in ranking.entries) == list(SHARES)
    assert ranking.best is not None and ranking.best.values == {"amount.share": 0.05}
    assert ranking.best.state == "finished" and len(ranking.best.scores) == 3
    rungs = [sum(len(entry.scores) > rung for entry in ranking.entries) for rung in range(3)]
    assert rungs[0] == 18 and rungs[1] < 12 and rungs[2] < rungs[1]  # fewer on every rung, if not exactly a third
    assert len(runs.begun) == len(set(runs.begun)) == sum(rungs)
    # a setting that stopped was worse than one that went on with as much training
    stopped = [entry for entry in ranking.entries if entry.state == "stopped early"]
    assert stopped
    for entry in stopped:
        rung, worth = len(entry.scores) - 1, entry.scores[-1].worth
        further = [other for other in ranking.entries if len(other.scores) > rung + 1]
        assert any(other.scores[rung].worth > worth for other in further)


def test_a_contest_goes_on_where_it_was_and_runs_nothing_twice(tmp_path: Path) -> None:
    runs = Runs()
    first = opened(tmp_path, runs)
    for _ in range(5):
        runs.carry_out(first.step(2, begin=True), first)
    known = len(runs.begun)
    again = opened(tmp_path, runs)
    assert again.ranking() == first.ranking() and known > 4
    to_the_end(again, runs, 2)
    assert len(runs.begun) == len({recipe.name for recipe in runs.begun})
    assert len(again.ranking().entries) == 18


def test_nothing_is_begun_where_nothing_may(tmp_path: Path) -> None:
    assert opened(tmp_path, Runs()).step(3, begin=False) == []


def test_a_run_that_fails_ends_its_setting_with_its_sentence(tmp_path: Path) -> None:
    runs = Runs()
    contest = opened(tmp_path, runs)
    (wanted,) = contest.step(1, begin=True)
    runs.over[wanted.recipe.name] = Outcome("failed", sentence="no memory")  # of an earlier day
    assert contest.step(1, begin=True) == [wanted]  # is tried again
    contest.queued(wanted)
    contest.step(1, begin=False)
    (entry,) = contest.ranking().entries
    assert (entry.state, entry.sentence) == ("failed", "no memory")


def test_a_run_that_was_put_off_is_asked_for_again(tmp_path: Path) -> None:
    runs = Runs()
    contest = opened(tmp_path, runs)
    (wanted,) = contest.step(1, begin=True)
    contest.queued(wanted)
    runs.over[wanted.recipe.name] = Outcome("stopped")
    contest.put_off(wanted)
    assert contest.step(1, begin=False) == [wanted] == contest.under_way()


def test_settings_that_do_not_go_together_are_told_and_not_run(tmp_path: Path) -> None:
    runs = Runs()
    vary: dict[str, Any] = {"criterion": ("magnitude", "geometric_median"), "amount.share": (0.5, 0.9)}
    contest = opened(tmp_path, runs, Halving(Grid(Recipe("mlp"), vary), 9000))
    to_the_end(contest, runs)
    ranking = contest.ranking()
    assert len(ranking.entries) == 2 and len(ranking.refused) == 2
    assert all("geometric_median scores channels" in sentence for _, sentence in ranking.refused)


def test_without_optuna_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(JobError, match="pip install optuna"):
        opened(tmp_path, Runs())
