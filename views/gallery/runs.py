"""Runs: the list, a run's panel, its result, its recipe, and several runs side by side. Also what an error looks like."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import streamlit as st

from pruning.criteria import Taylor
from pruning.events import (
    AmountFound,
    Event,
    Exported,
    Failed,
    Finished,
    Masked,
    Measured,
    Resumed,
    Searching,
    Stage,
    StageMeasured,
    Started,
    TuningStep,
    UnitSizes,
    Verified,
    Warned,
)
from pruning.execution.store.records import RunRow, RunState
from pruning.halving.halving import Halving
from pruning.halving.result import Entry, Score, State, ranked
from pruning.metric import ACCURACY
from pruning.recipe.recipe import Recipe, to_dict, to_json
from pruning.reporting.run_history import summary
from pruning.reporting.sweep_files import Results
from pruning.reporting.sweep_table import Trial
from pruning.selection.amounts import Sparsity
from pruning.sweeps.grid import Grid
from views.gallery.lab import MSE
from views.gallery.states import LONG, LONG_WORDS, Draw, States
from views.runs import components, halving_results, sweep_results
from views.runs.comparison import CSS as RUNS_CSS
from views.runs.comparison import comparison_html
from views.runs.components import RunRowData
from views.runs.detail import recipe_html
from views.runs.table import SIGNS, heads, list_texts
from views.shared import run_panel, run_result
from views.shared.language import _

RECIPE = Recipe("fashion_cnn", amount=Sparsity(0.8))
OTHER = replace(RECIPE, criterion=Taylor(), amount=Sparsity(0.95), keep_whole=(LONG,), seed=7)
CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat")
EACH = (2000,) * 5
DENSE = Stage(
    0.9158, 0.9201, 10_000, 20_426, 20_426, 1_130_000, 82_444, 76_012, (0.9, 0.95, 0.91, 0.9, 0.92), 0.41, EACH
)
PRUNED = Stage(0.808, 0.811, 10_000, 20_426, 4_112, 1_130_000, 82_444, 19_204, (0.7, 0.93, 0.8, 0.81, 0.8), 0.42, EACH)
TUNED = Stage(
    0.909, 0.9122, 10_000, 20_426, 4_112, 1_130_000, 82_444, 19_311, (0.86, 0.95, 0.91, 0.89, 0.9), 0.41, EACH
)
LARGE = Stage(0.7613, 0.7702, 50_000, 25_557_032, 25_557_032, 4_089_184_256, 102_228_128, 94_801_223, (), 61.2)


def _row(
    state: RunState, title: str = "", recipe: Recipe = RECIPE, stopping: bool = False, sentence: str = ""
) -> RunRow:
    now = time.time()
    started = None if state == "queued" else now - 95
    over = state not in ("queued", "running")
    return RunRow(
        "fashion_cnn-7f3a", to_json(recipe), "x", state, sentence, now - 100, started, now if over else None,
        stopping, title, False, 1, seconds=95.0,
    )  # fmt: skip


def _begun(steps: int) -> list[Event]:
    events: list[Event] = [Started("fashion_cnn", "cpu", 3, 300, CLASSES), StageMeasured("dense", DENSE)]
    events += [StageMeasured("pruned", PRUNED), Masked(0, 1.0, 80, 80, 100, {"fc": 0.2})]
    for step in range(10, steps + 1, 10):
        events.append(TuningStep(step // 100, 0, step, 1.2 / (1 + step / 60)))
        if step % 30 == 0:
            events.append(Measured(step // 100, step, "validation", 0.92 - 0.1 / (1 + step / 40), 0.8 * step / 300))
    return events


DONE: list[Event] = [*_begun(300), StageMeasured("tuned", TUNED)]
FILES = {"safetensors": __file__, "recipe": __file__, "report": str(Path(__file__).with_name("removed.html"))}
VERIFIED: list[Event] = [*DONE, StageMeasured("exported", TUNED), Exported(FILES), Verified(0.909, 0.909, True), Finished(False, 95.0)]  # fmt: skip
UNLIKE: list[Event] = [*DONE, Exported({"pt": "removed.pt"}), Verified(0.909, 0.4021, False), Finished(False, 95.0)]
RESUMED: list[Event] = [*_begun(150), Resumed(4, 0, 0), *_begun(60)[4:], Warned(f"{LONG} was kept whole")]
SIZES = dict.fromkeys(("conv1", "conv2", LONG, "fc"), (0,) * 18 + (2, 5, 11, 20, 26, 20, 11, 5, 0, 0, 0, 0))


def _pushed(share: float) -> dict[str, tuple[int, ...]]:
    """Sizes of which this share lies near zero."""
    return {name: (int(100 * share), *(int(n * (1 - share)) for n in counts[1:])) for name, counts in SIZES.items()}


SPARSE: list[Event] = [
    each
    for event in _begun(150)
    for each in ([UnitSizes(0, event.step, event.step / 300, _pushed(event.step / 300)), event] if isinstance(event, Measured) else [event])
]  # fmt: skip
SEARCHING: list[Event] = [Searching("each group alone", place, 60, place == 1) for place in range(1, 24)]
FOUND = AmountFound("macs", 0.498, 0.0104, False, {"conv1": 0.25, "conv2": 0.4, LONG: 0.65, "fc": 0.0}, 63, 148.0)
LOST = "worker lost: it used more memory than there is; choose a smaller batch, or start the run again"


def _by_error(event: Event) -> Event:
    """The same run scored by an error: what is missing to 1, a tenth of it."""
    if isinstance(event, StageMeasured):
        result = event.result
        return replace(event, result=replace(result, score=_error(result.score), validation=_error(result.validation), class_scores=()))  # fmt: skip
    if isinstance(event, Measured):
        return replace(event, score=_error(event.score))
    if isinstance(event, Verified):
        return replace(event, score=_error(event.score), reloaded_score=_error(event.reloaded_score))
    return replace(event, metric=MSE, classes=()) if isinstance(event, Started) else event


def _error(score: float) -> float:
    return (1 - score) / 10


ERRORS = [_by_error(event) for event in VERIFIED]


def _panel(row: RunRow, events: Sequence[Event], place: str = "") -> Draw:
    def draw(key: str) -> None:
        run_panel.draw(row, list(events), place, key=f"{key}_curves")

    return draw


def _result(name: str, events: Sequence[Event]) -> Draw:
    def draw(key: str) -> None:
        run_result.draw(key, name, list(events), key=key)

    return draw


CHOICES = [
    ("fashion_cnn · sparsity 80 %", "weights by magnitude, global"), ("least squares", ""),
    ("2 epochs", "polynomial, adamw"), ("0", ""),
]  # fmt: skip


def _listed(state: RunState, name: str = "fashion_cnn-7f3a", **given: object) -> RunRowData:
    row: RunRowData = {
        "id": f"{state}-{name}", "name": name, "sub": "", "mine": False, "pinned": False, "state": state,
        "sign": SIGNS[state], "word": state, "note": "", "fraction": None,
        "cells": [*CHOICES, *[("", "")] * 4, ("14:05", "")],
    }  # fmt: skip
    return cast(RunRowData, {**row, **given})


SCORES = [("91.6 → 90.9 %", "−0.68 points"), ("76.0 kB → 19.3 kB", "−74.6 %"), ("1.13 M → 1.13 M", "±0 %")]
RECIPE_WORDS = ("resnet_50 · budget 5.00 % of macs", "channels by optimal brain surgeon, global, normalised by l2")
EVERY = [
    _listed("running", note="round 3 of 5, epoch 1 of 2, 38 s left", fraction=0.55, mine=True),
    _listed("running", "stopping-11", word="stopping", note="measuring", fraction=0.9),
    _listed("queued", note="its worker was lost, it goes on: 12 ahead of it in the queue, starts in about 3 min 24 s"),
    _listed("finished", pinned=True, mine=True, cells=[*CHOICES, *SCORES, ("✓ verified", ""), ("yesterday 14:05", "1 min 35 s")]),
    _listed("finished", "unlike-12", cells=[*CHOICES, *SCORES, ("× not verified", "see the notes"), ("3 Nov 14:05", "1 h 5 min")]),
    _listed("stopped"),
    _listed("failed", cells=[("mlp_128", "this version cannot read the recipe"), *[("", "")] * 3, ("91.6 → …", ""), *[("", "")] * 3, ("3 Nov 2025", "")]),
]  # fmt: skip
LONG_NAMES = [
    _listed("finished", LONG_WORDS, sub="resnet_50-0a1b", pinned=True, mine=True, cells=[RECIPE_WORDS, *CHOICES[1:], *SCORES, ("✓ verified", ""), ("14:05", "")]),
    _listed("running", LONG, note="round 12 of 40, epoch 19 of 20, about 11 h 59 min left", fraction=0.02),
]  # fmt: skip


def _list(rows: Sequence[RunRowData], selected: Sequence[str] = ()) -> Draw:
    def draw(key: str) -> None:
        shown = [row for row in rows if row["id"] in selected]
        components.runs(
            {"texts": list_texts(), "heads": heads(), "rows": list(rows), "selected": [row["id"] for row in shown]},
            lambda _runs: None,
            key=f"{key}_component",
        )

    return draw


def _beside(rows: Sequence[RunRow], events: Sequence[Sequence[Event]]) -> Draw:
    def draw(key: str) -> None:
        st.html(RUNS_CSS + comparison_html(list(rows), [summary(each) for each in events]))

    return draw


def _trial(score: float, share: float, seed: int, role: str = "grid", criterion: str = "magnitude") -> Trial:
    recipe = to_dict(replace(RECIPE, amount=Sparsity(share), seed=seed)) | {"criterion": {"kind": criterion}}
    tuned = replace(TUNED, score=score, nonzero=round(20_426 * (1 - share)))
    return Trial(f"{criterion}-{share}-{seed}", role, recipe, DENSE, tuned, 95.0, ACCURACY)


SWEPT = [
    *(_trial(0.91 - share / 20 + seed / 900, share, seed) for share in (0.5, 0.8, 0.95) for seed in range(3)),
    *(_trial(0.915 - share / 30 - seed / 700, share, seed, criterion="optimal_brain_surgeon") for share in (0.5, 0.95) for seed in range(3)),
    *(_trial(0.917 + seed / 800, 0.0, seed, "dense") for seed in range(3)), _trial(0.7, 0.8, 0, "random", "random"),
]  # fmt: skip


def _swept(trials: Sequence[Trial]) -> Draw:
    def draw(key: str) -> None:
        sweep_results.draw(Results(trials), key, key)

    return draw


def _recipe(key: str) -> None:
    st.html(RUNS_CSS + recipe_html(to_json(OTHER)))


def _messages(key: str) -> None:
    st.error(LOST)
    st.warning(_("The choices on the left do not fit together; the map is of the last that did."))
    st.info(_("No run yet. Choose a recipe in the Lab and press Run: it appears here, and stays."))


HALVING = Halving(
    Grid(Recipe("fashion_cnn"), {"criterion": ("magnitude", "taylor"), "schedule": ("one_shot", "polynomial")}), 50_000
)


def _entry(number: int, state: State, *scores: float, sentence: str = "", kind: str = "taylor") -> Entry:
    found = tuple(Score(f"7f3a9c2{rung}-1", score, 0.92 - score, 0.2, score) for rung, score in enumerate(scores))
    values = {"criterion": {"kind": kind}, "schedule": {"kind": "polynomial", "rounds": 5, "power": 3.0}}
    return Entry(number, values, found, state, sentence)


SETTINGS = [
    _entry(0, "finished", 0.88, 0.9, 0.911),
    _entry(1, "stopped early", 0.8, kind="magnitude"),
    _entry(2, "going on", 0.87),
    _entry(3, "going on"),
    _entry(4, "failed", sentence=LOST, kind=LONG),
]
REFUSED = [({"criterion": {"kind": "geometric_median"}}, "geometric_median scores channels, not single weights")]


def _settings(*entries: Entry) -> Draw:
    return lambda key: halving_results.table(HALVING, ranked(entries, 9, REFUSED), is_open=True)


STATES: States = {
    "list of runs": {
        "every state": _list(EVERY, [EVERY[3]["id"]]),
        "long names": _list(LONG_NAMES, [row["id"] for row in LONG_NAMES]),
    },
    "panel": {
        "in the queue": _panel(_row("queued"), [], "next in the queue, starts in about 40 s"),
        "begun": _panel(_row("running"), _begun(0)),
        "searching for its amount": _panel(_row("running"), SEARCHING),
        "with what a search has found": _panel(_row("running"), [*SEARCHING, FOUND, *_begun(150)]),
        "running": _panel(_row("running"), _begun(150)),
        "stopping": _panel(_row("running", stopping=True), _begun(150)),
        "sparse training": _panel(_row("running"), SPARSE),
        "resumed, with a note": _panel(_row("running"), RESUMED),
        "stopped in the queue": _panel(replace(_row("stopped"), started=None), []),
        "stopped": _panel(_row("stopped"), [*DONE, Finished(True, 60.0)]),
        "failed": _panel(_row("failed"), [*_begun(60), Failed(LOST)]),
        "finished": _panel(_row("finished"), VERIFIED),
        "scored by an error": _panel(_row("finished"), ERRORS),
    },
    "result": {
        "verified, one file is gone": _result("fashion_cnn-7f3a", VERIFIED),
        "not verified, a long name": _result(LONG_WORDS, UNLIKE),
        "by an error": _result("regression-7f3a", ERRORS),
    },
    "recipe": {"every setting": _recipe},
    "settings that compete": {"some": _settings(*SETTINGS), "one": _settings(SETTINGS[0])},
    "several runs": {
        "two": _beside([_row("finished"), _row("finished", recipe=OTHER)], [VERIFIED, UNLIKE]),
        "of two metrics": _beside([_row("finished"), _row("finished", recipe=OTHER)], [VERIFIED, ERRORS]),
        "five with long names": _beside(
            [_row("finished", f"{LONG_WORDS} {place}") for place in range(4)] + [_row("running", LONG, OTHER)],
            [VERIFIED, UNLIKE, [StageMeasured("dense", LARGE), StageMeasured("tuned", LARGE)], [], _begun(30)],
        ),
    },
    "experiment": {
        "three seeds": _swept(SWEPT),
        "one run": _swept(SWEPT[:1]),
    },
    "messages": {"refused, does not fit, no run yet": _messages},
}
