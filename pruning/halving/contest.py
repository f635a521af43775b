"""Which setting is tried next, and which goes on: Optuna's sampler and its pruner, over runs that others carry out.

Settings are drawn by a tree-structured Parzen estimator (Bergstra et al. 2011), which learns from those that are over.
After each rung a setting goes on where it is among the best third of all that came so far (Li et al. 2020,
arXiv 1810.05934): nobody waits for a rung to be full, so that any number of workers are busy. The journal holds all of
it; a killed server loses nothing but the runs' own last steps.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from pruning.errors import JobError, RecipeError
from pruning.halving.halving import FACTOR, Halving
from pruning.halving.result import Entry, Ranking, Score, State, ranked
from pruning.recipe.recipe import Recipe

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

INSTALL = "finding the best setting needs Optuna, which is not installed: run pip install optuna, then start it again"
SCORES, SENTENCE, QUEUED, REFUSED = "scores", "sentence", "queued", "refused"
MOST_ASKED = 32
"""Draws in a row that may come out as settings that were tried; then one of those left is taken by lot."""


@dataclass(frozen=True)
class Outcome:
    """How a run stands. `score` is there once it is finished; `sentence` says why it failed or was stopped."""

    standing: Literal["missing", "waiting", "finished", "failed", "stopped"]
    score: Score | None = None
    sentence: str = ""


@dataclass(frozen=True)
class Wanted:
    """A run that should be carried out next, and the share of the recipe's own training that it has."""

    trial: int
    recipe: Recipe
    share: float


class Contest:
    """A halving under way. `look` says how runs stand; nothing here starts one."""

    def __init__(self, halving: Halving, journal: Path, look: Callable[[Recipe], Outcome]) -> None:
        """JobError where Optuna is not installed."""
        self.halving = halving
        self._look = look
        self._paths = list(halving.grid.vary)
        self._labels = {path: [json.dumps(value) for value in values] for path, values in halving.grid.vary.items()}
        self._study = _study(halving, journal)

    def step(self, at_once: int, begin: bool) -> list[Wanted]:
        """Report what is over, begin new settings until so many are under way, and say which runs are missing.

        With `begin` False no new setting is begun.
        """
        wanted = [missing for trial in self._going_on() if (missing := self._taken_on(trial.number))]
        while begin and len(self._going_on()) < at_once and (trial := self._next()) is not None:
            if missing := self._taken_on(trial):
                wanted.append(missing)
        return wanted

    def queued(self, wanted: Wanted) -> None:
        """Keep that the run was asked for: where it fails now, the setting has failed."""
        self._live(wanted.trial).set_user_attr(QUEUED, wanted.recipe.name)

    def put_off(self, wanted: Wanted) -> None:
        """Keep that the run was ended for want of time: the next step asks for it again."""
        self._live(wanted.trial).set_user_attr(QUEUED, "")

    def under_way(self) -> list[Wanted]:
        """The runs that settings wait for."""
        return [self._wanted(trial) for trial in self._going_on()]

    def ranking(self) -> Ranking:
        """All settings so far, the best first."""
        trials = self._study.get_trials(deepcopy=False)
        refused = [
            (self._values(trial), str(trial.user_attrs[REFUSED])) for trial in trials if trial.user_attrs.get(REFUSED)
        ]
        begun = [trial for trial in trials if REFUSED not in trial.user_attrs and len(trial.params) == len(self._paths)]
        entries = [self._entry(trial) for trial in begun]
        return ranked(entries, self.halving.grid.combinations, refused)

    # --- single settings

    def _going_on(self) -> list[FrozenTrial]:
        from optuna.trial import TrialState

        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [trial for trial in running if len(trial.params) == len(self._paths)]  # else killed while it was drawn

    def _taken_on(self, number: int) -> Wanted | None:
        """Report what runs of the setting came to, rung after rung; the run that it lacks now, None where it waits."""
        while True:
            wanted = self._wanted(self._frozen(number))
            found = self._look(wanted.recipe)
            asked = self._frozen(number).user_attrs.get(QUEUED) == wanted.recipe.name
            if found.score is not None:
                if self._over(number, found.score):
                    return None
                continue
            if found.standing in ("failed", "stopped") and asked:
                self._end(number, "FAIL", found.sentence or f"its run was {found.standing}")
            if found.standing == "missing" or not asked:
                return None if found.standing == "waiting" else wanted
            return None

    def _over(self, number: int, score: Score) -> bool:
        """Report the score of a rung; whether the setting ends with it."""
        trial = self._live(number)
        rung = len(_scores(self._frozen(number)))
        trial.set_user_attr(SCORES, [*_scores(self._frozen(number)), asdict(score)])
        trial.report(score.worth, FACTOR**rung)
        if rung == self.halving.rungs - 1:
            self._study.tell(number, score.worth)
            return True
        if trial.should_prune():
            self._end(number, "PRUNED")
            return True
        return False

    def _next(self) -> int | None:
        """The number of a setting that was not tried yet; None where all were."""
        for turn in range(MOST_ASKED + self.halving.grid.combinations):
            drawn = [trial.params for trial in self._study.get_trials(deepcopy=False)]
            tried = {tuple(params.items()) for params in drawn if len(params) == len(self._paths)}
            if len(tried) >= self.halving.grid.combinations:
                return None
            if turn >= MOST_ASKED:
                self._study.enqueue_trial(next(left for left in self._all() if tuple(left.items()) not in tried))
            trial = self._study.ask()
            params = {path: trial.suggest_categorical(path, labels) for path, labels in self._labels.items()}
            if tuple(params.items()) in tried:
                trial.set_user_attr(REFUSED, "")
                self._end(trial.number, "FAIL")
                continue
            try:
                for rung in range(self.halving.rungs):
                    self.halving.recipe(self._values(self._frozen(trial.number)), rung)
            except RecipeError as error:
                trial.set_user_attr(REFUSED, str(error))
                self._end(trial.number, "FAIL")
                continue
            return trial.number
        return None

    def _all(self) -> Iterator[dict[str, str]]:
        """Every combination, as the study's parameters; in an order by lot, the same for the same seed."""
        every = list(itertools.product(*self._labels.values()))
        Random(self.halving.grid.base.seed).shuffle(every)
        return (dict(zip(self._paths, labels, strict=True)) for labels in every)

    def _wanted(self, trial: FrozenTrial) -> Wanted:
        rung = len(_scores(trial))
        return Wanted(trial.number, self.halving.recipe(self._values(trial), rung), self.halving.shares[rung])

    def _end(self, number: int, state: Literal["FAIL", "PRUNED"], sentence: str = "") -> None:
        from optuna.trial import TrialState

        if sentence:
            self._live(number).set_user_attr(SENTENCE, sentence)
        self._study.tell(number, state=TrialState[state])

    def _entry(self, trial: FrozenTrial) -> Entry:
        from optuna.trial import TrialState

        states: Mapping[TrialState, State] = {
            TrialState.COMPLETE: "finished",
            TrialState.PRUNED: "stopped early",
            TrialState.FAIL: "failed",
        }
        scores = tuple(msgspec.convert(each, Score) for each in _scores(trial))
        sentence = str(trial.user_attrs.get(SENTENCE, ""))
        return Entry(trial.number, self._values(trial), scores, states.get(trial.state, "going on"), sentence)

    def _values(self, trial: FrozenTrial) -> dict[str, Any]:
        return {path: json.loads(trial.params[path]) for path in self._paths}

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    def _live(self, number: int) -> Trial:
        from optuna.trial import Trial

        # Optuna has no other way back to a trial that was begun before this process
        return Trial(self._study, self._frozen(number)._trial_id)  # pyright: ignore[reportPrivateUsage]


def _scores(trial: FrozenTrial) -> list[dict[str, Any]]:
    return trial.user_attrs.get(SCORES, [])


def require_optuna() -> None:
    """JobError where Optuna is not installed."""
    try:
        import optuna  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise JobError(INSTALL) from None


def _study(halving: Halving, journal: Path) -> Study:
    """The study as the journal has it, or a fresh one."""
    require_optuna()
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal.parent.mkdir(parents=True, exist_ok=True)
    return optuna.create_study(
        study_name=halving.name,
        storage=JournalStorage(JournalFileBackend(str(journal))),
        sampler=optuna.samplers.TPESampler(seed=halving.grid.base.seed, constant_liar=True),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=FACTOR),
        direction="maximize",
        load_if_exists=True,
    )
