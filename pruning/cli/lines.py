"""Events as calm one-liners."""

from pruning.events import (
    AmountFound,
    Event,
    Exported,
    Finished,
    Masked,
    Measured,
    Repaired,
    Searching,
    StageMeasured,
    Started,
    SurgeryChecked,
    UnitSizes,
    Verified,
    Warned,
)
from pruning.metric import ACCURACY, Metric
from pruning.reporting.formatting import count, duration, percent, score_text, si, significant
from pruning.reporting.run_summary import amount_words, share_of_all


def event_line(event: Event, metric: Metric = ACCURACY) -> str:
    """The event in words, empty for those that only move the progress bar. `metric` says what the run's scores are."""
    match event:
        case Searching() if event.begins:
            return f"searching for the amount: {event.phase}"
        case AmountFound():
            return f"found in {count(event.cuts)} cuts, {duration(event.seconds)}: {amount_words(event, metric)}"
        case Started():
            rounds = "1 round" if event.rounds == 1 else f"{event.rounds} rounds"
            return f"{event.workload} on {event.device}: {rounds}, {count(event.steps)} optimiser steps"
        case StageMeasured(stage, result):
            scores = f"{score_text(result.score, metric)} test, {score_text(result.validation, metric)} validation"
            return f"{stage}: {named(metric)}{scores}, {count(result.nonzero)} non-zeros, {si(result.bytes, 'B')}"
        case Masked() if event.exchanged:
            return f"round {event.round + 1}: {count(event.exchanged)} weights came back in place of as many"
        case Masked():
            share = percent(event.pruned / event.units)
            units = f"{count(event.pruned)} of {count(event.units)} units pruned ({share})"
            return f"round {event.round + 1}: {units}{share_of_all(event.values)}"
        case Measured():
            return f"  after {count(event.step)} steps: {named(metric)}{score_text(event.score, metric)} {event.split}"
        case UnitSizes():
            return f"  {percent(event.near_zero)} of the units near zero"
        case Repaired():
            return _repaired(event)
        case SurgeryChecked():
            removed, apart = percent(event.removed_parameters), significant(event.max_difference, 2)
            return f"{event.stage}: {removed} of the parameters removed; masked and removed outputs differ by {apart}"
        case Warned(sentence):
            return f"note: {sentence}"
        case Verified(score, again, same):
            verdict = "verified" if same else "NOT verified"
            first, second = score_text(score, metric), score_text(again, metric)
            return f"{verdict}: scored {first}, the file in a fresh process {second} (test)"
        case Exported(artefacts):
            return "\n".join(f"wrote {path}" for path in artefacts.values())
        case Finished(stopped, seconds):
            return f"{'stopped' if stopped else 'finished'} after {duration(seconds)}"
        case _:
            return ""


def named(metric: Metric) -> str:
    """The name of a score that is not in percent, to stand before it."""
    return "" if metric.percent else f"{metric.name} "


def _repaired(event: Repaired) -> str:
    before, after = significant(event.before, 2), significant(event.after, 2)
    done = f"outputs were {before} of their variance from the dense network's and are {after}"
    if not event.helped:
        done = f"it did not help (from {before} of the outputs' variance to {after}), the network is as the cut left it"
    left = f"{len(event.left)} layers were left as they are" if len(event.left) > 1 else "a layer was left as it is"
    stay = f"; {left}" if event.left else ""
    return f"round {event.round + 1}, repair {event.repair}: {done}{stay} ({duration(event.seconds)})"
