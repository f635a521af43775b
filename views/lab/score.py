"""What a cut scores: asked a little at a time, and shown in the strip beside the sizes until all is known."""

from dataclasses import dataclass

import streamlit as st

from pruning.execution.followed import Asker, Progress
from pruning.interactive.cut import cut_of
from pruning.interactive.queries import estimate
from pruning.interactive.responses import AccuracyPreview, CutPreview, ModelView, RepairPreview
from pruning.recipe.recipe import Recipe
from pruning.repair import NoRepair
from pruning.reporting.formatting import limit_text
from views.entrance.watches import News
from views.lab.state import lab_state
from views.shared import strip, watch
from views.shared.language import _
from views.shared.plain_text import plain
from views.shared.repairs import Repairs, repairs, words_for
from views.shared.server import asked, asker_at, follow, poll_s

FIRST_S = 1.5  # how long the page waits for the first estimate before it goes on without
PLACE = "score"


@dataclass
class _Score:
    """The score of one cut: what is asked for, who asks, and what the strip shows of it. Needs no page once it is made."""

    model: ModelView
    now: CutPreview
    recipe: Recipe
    asker: Asker
    repairs: Repairs
    rests: bool = False
    """Whether the cut has stayed the same for a moment: only then is its repair asked for."""
    _known: Progress[AccuracyPreview] = Progress(None)

    def news(self) -> News:
        """What is known by now; asks for more."""
        self._known = known = asked(self.asker, estimate, cut_of(self.recipe), complete=_known_to_the_end)
        if known.error is not None:
            return News("", again=True)
        if self.rests:
            self.repairs.ask_more(self.recipe)
        self.rests = True
        return News(self.html(known.outcome), self.complete(known.outcome), seconds=poll_s(known.others))

    def ready(self) -> bool:
        """Whether of the score, or of the repaired cut's, more is known than when there were news last."""
        return self._known.more_by_now() or self.repairs.known(self.recipe).more_by_now()

    def html(self, outcome: AccuracyPreview | None) -> str:
        """The strip's content."""
        waiting = _("evaluating the first samples")
        tiles = tiles_of(self.model, self.now, self.recipe, self.repairs, outcome, waiting)
        return strip.html(tiles, self._line())

    def complete(self, outcome: AccuracyPreview | None) -> bool:
        """Whether there is nothing more to be known of the cut, nor of its repair."""
        return outcome is not None and _known_to_the_end(outcome) and self.repairs.known(self.recipe).complete

    def _line(self) -> str | None:
        """What a repair left as it was, and whether it does without training; None where nothing repairs.

        A line from the start, so that nothing moves.
        """
        if isinstance(self.recipe.repair, NoRepair):
            return None
        outcome = self.repairs.known(self.recipe).outcome
        if outcome is None or not outcome.estimate.measured:
            return ""
        return _about_repair(self.model, self.recipe, outcome)


def show(model: ModelView, now: CutPreview, recipe: Recipe) -> None:
    """The strip: sizes at once, then the score, first from a few samples and then from more until all are seen.

    With a repair the repaired network's score stands beside it, as soon as the cut stays the same for a moment.
    """
    watch.end(PLACE)
    state = lab_state()
    score = _Score(model, now, recipe, asker_at(PLACE), repairs(), rests=state.measuring == recipe)
    state.measuring = recipe
    place = st.empty()
    with place:
        strip.draw(score.html(None))
    first = _first(recipe)
    if first.error is not None:
        place.error(plain(first.error))
        return
    with place.container():
        if score.complete(first.outcome):
            strip.draw(score.html(first.outcome))
        else:
            watch.go_on(PLACE, strip.draw, score.news, score.ready, poll_s(first.others))


def tiles_of(
    model: ModelView,
    now: CutPreview,
    recipe: Recipe,
    known: Repairs,
    outcome: AccuracyPreview | None,
    waiting: str,
) -> list[strip.Tile]:
    """The score, or why there is none yet, that of the repaired network where the recipe repairs, and the sizes."""
    sizes = strip.sizes(model, now, outcome)
    if isinstance(recipe.repair, NoRepair):
        return [strip.score(model, outcome, waiting), *sizes]
    repaired = known.known(recipe)
    words = words_for(repaired, _("repairing, once the slider rests"))
    shown = strip.repaired(model, repaired.outcome, words)
    return [strip.score(model, outcome, waiting, _("as cut")), shown, *sizes]


def _first(recipe: Recipe) -> Progress[AccuracyPreview]:
    """What is known once there is something; the workers go on with it as long as it is asked for."""
    return follow(PLACE, estimate, cut_of(recipe), complete=_known_to_the_end, wait=FIRST_S)


def _known_to_the_end(outcome: AccuracyPreview) -> bool:
    return outcome.estimate.measured and outcome.gzip_bytes is not None


def _about_repair(model: ModelView, recipe: Recipe, outcome: RepairPreview) -> str:
    """In words; empty where there is nothing to say."""
    metric, words = model.metric, ""
    if outcome.helped and metric.drop(outcome.estimate.change) <= metric.tolerance(model.score):
        words = _(
            "Repaired, it scores within {limit} of the dense network: it may need no training (epochs 0)."
        ).format(limit=limit_text(metric.tolerance(model.score), metric))
    if outcome.left:
        name, why = next(iter(outcome.left.items()))
        left = _("Not repaired: {layer}: {why}").format(layer=name or recipe.workload, why=why)
        more = _(" (and {n} others)").format(n=len(outcome.left) - 1) if len(outcome.left) > 1 else ""
        words = f"{words} {left}{more}".strip()
    return words
