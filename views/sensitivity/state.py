"""What the page Sensitivity remembers from one run of its script to the next.

These classes may not be in the page's own file: Streamlit executes it anew at every run, and instances of a class of
one run never equal those of the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pruning.interactive.responses import AccuracyPreview, CutPreview
from pruning.layer_sensitivity.result import Sensitivity
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import PerLayer
from views.shared.state import remembered

SHARPNESS = {0.01: "± 1 point", 0.005: "± 0.5", 0.0: "exact"}
"""Half-width of the interval of each cell -> what the page calls it, of a score in percent."""
MAX_DROP = 1.0
"""Points that each layer's cut may cost, for a new visitor. Of a score in its own unit: times its tolerance."""


@dataclass(frozen=True)
class Question:
    """What a map is of: the recipe without what does not change it, the half-width of its intervals, and `max_drop`.

    `max_drop` is what a layer's largest cut may cost, in the unit of the score.
    """

    recipe: Recipe
    half_width: float
    max_drop: float


@dataclass(frozen=True)
class KnownMap:
    """The answer to a question as far as it is known. `map` may be from a coarser question before: it stays true.

    `before` is the map of another criterion or other units; it is shown greyed until there is a map of these.
    Since `began`, a monotonic time, the samples beyond `spent` were evaluated: that gives the time left.
    """

    question: Question
    map: Sensitivity | None = None
    before: Sensitivity | None = None
    problem: str = ""
    stopped: bool = False
    began: float = 0.0
    spent: int = 0

    @property
    def done(self) -> bool:
        asked = self.question
        if self.map is None or (self.map.half_width, self.map.max_drop) != (asked.half_width, asked.max_drop):
            return False
        return self.map.done

    @property
    def going_on(self) -> bool:
        return not self.problem and not self.stopped and not self.done


@dataclass(frozen=True)
class KnownSuggestion:
    """What is known of all suggested cuts made at once: sizes, accuracy so far, or why there are none."""

    recipe: Recipe
    look: CutPreview | None = None
    outcome: AccuracyPreview | None = None
    problem: str = ""

    @property
    def complete(self) -> bool:
        """Whether there is no more to ask. Where nothing is cut, sizes are all there is to know."""
        seen = self.outcome
        measured = seen is not None and seen.estimate.measured and seen.gzip_bytes is not None
        return bool(self.problem) or (self.look is not None and (measured or not any(cuts_of(self.recipe).values())))


def cuts_of(recipe: Recipe) -> Mapping[str, float]:
    """Row -> its cut in the suggestion; rows that the recipe keeps whole are missing."""
    return recipe.amount.shares if isinstance(recipe.amount, PerLayer) else {}


@dataclass
class SensitivityState:
    """Nothing here is a control's own value, but for two that shall outlive a visit to another page."""

    half_width: float = next(iter(SHARPNESS))
    """What the control for sharpness was last set to, of a score in percent."""
    limit: float = MAX_DROP
    """What the slider for the largest cost of a cut was last set to, in points, or else in times the tolerance."""
    known: KnownMap | None = None
    drawn: Question | None = None
    """The question that the page was last drawn for: it is asked only after what is known by now is shown."""
    stop_asked: bool = False
    """Stop was pressed, and the page has not been drawn since."""
    suggested: Recipe | None = None
    """The suggestion of the last poll."""
    together: KnownSuggestion | None = None
    leaving: Literal["no", "asked", "drawn"] = "no"
    """Whether the suggestion was loaded into the Lab, where the page goes once it was drawn without polls."""


def sensitivity_state() -> SensitivityState:
    return remembered(SensitivityState)
