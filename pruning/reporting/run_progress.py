"""How far a run is, by its events: the share that is done, the seconds left, and what it is doing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pruning.events import AmountFound, Event, Finished, Masked, Resumed, Searching, Started, TuningStep
from pruning.reporting.run_summary import latest, stages_of

SAMPLES_A_STEP = 200.0
"""An estimate: to score both splits takes the time of one training step for every 200 test samples."""
VERIFYING = 3
"""An estimate: to load and score two files in a fresh process takes as long as scoring three stages."""


@dataclass(frozen=True)
class RunProgress:
    """How far a run is, in [0, 1], the seconds left, None while its speed is not known, and what it is doing."""

    fraction: float
    seconds_left: float | None
    phase: str


def progress(events: Iterable[Event], elapsed_s: float) -> RunProgress:
    """How far the run is, `elapsed_s` seconds after it began or was resumed.

    A search for the amount comes before all that is counted: how long the rest takes is known once that has begun.
    """
    every = list(events)
    if every and isinstance(every[-1], Searching):
        return RunProgress(0.0, None, _searching(every[-1]))
    elapsed_s -= _searched_s(every)
    events = latest(every)
    fraction = _fraction(events)
    resumed = max((place for place, event in enumerate(events) if isinstance(event, Resumed)), default=0)
    done = fraction - _fraction(events[:resumed])  # in these seconds: earlier work took time that is not known here
    left = elapsed_s * (1 - fraction) / done if "pruned" in stages_of(events) and done > 0 else None
    return RunProgress(fraction, left, _phase(events))


def _searching(event: Searching) -> str:
    cuts = f", cut {event.cuts} of about {event.planned}" if event.cuts else ""
    return f"searching for the amount: {event.phase}{cuts}"


def _searched_s(events: Sequence[Event]) -> float:
    """Seconds that the search for the amount took, if that was since the run began or was last resumed."""
    for event in reversed(events):
        if isinstance(event, AmountFound):
            return event.seconds
        if isinstance(event, Resumed):
            break
    return 0.0


def _fraction(events: Sequence[Event]) -> float:
    """The share of the work that is done. Work is counted in training steps; scoring a stage counts as some of them."""
    started = next((event for event in events if isinstance(event, Started)), None)
    stages = stages_of(events)
    if any(isinstance(event, Finished) for event in events):
        return 1.0
    if started is None or "dense" not in stages:
        return 0.0
    if "exported" in stages:
        return 0.99  # only the report is still to be written
    scoring = stages["dense"].samples / SAMPLES_A_STEP
    total = started.steps + scoring * (3 + started.rounds + VERIFYING)
    if "tuned" in stages:
        return 1 - scoring * VERIFYING / total
    rounds = sum(isinstance(event, Masked) for event in events)  # each begins by scoring units and network: one stage
    steps = max((event.step for event in events if isinstance(event, TuningStep)), default=0)
    return (steps + scoring * (len(stages) + rounds)) / total


def _phase(events: Sequence[Event]) -> str:
    stages = stages_of(events)
    if any(isinstance(event, Finished) for event in events):
        return "finished"
    if "exported" in stages:
        return "writing the report"
    if "tuned" in stages:
        return "scoring the exported file in a fresh process"
    if "pruned" in stages:
        return _round(events)
    if "dense" in stages:
        return "scoring the cut before tuning"
    return "scoring the dense network" if events else "starting"


def _round(events: Sequence[Event]) -> str:
    started = next(event for event in events if isinstance(event, Started))
    masked = [event for event in events if isinstance(event, Masked)]
    steps = [event for event in events if isinstance(event, TuningStep)]
    if not masked:
        return "scoring units"
    words = f"round {masked[-1].round + 1} of {started.rounds}"
    tuning = bool(steps) and steps[-1].round == masked[-1].round
    return f"{words}, epoch {steps[-1].epoch + 1}" if tuning else words
