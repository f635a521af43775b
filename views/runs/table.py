"""The list of runs: a row each, with its state in words, its recipe and what it came to."""

from datetime import datetime
from functools import lru_cache

from pruning.events import Stage
from pruning.execution.store.records import RunRow
from pruning.metric import ACCURACY, Metric
from pruning.recipe.catalog import kind_of
from pruning.recipe.recipe import from_json
from pruning.reporting.formatting import bare_score, change_text, duration, relative, score_text, si
from pruning.reporting.run_history import Summary, common_metric, how_much, how_tuned, plain_recipe, what_is_pruned
from pruning.reporting.run_progress import progress
from views.runs import components
from views.runs.components import HeadData, RunRowData, RunsData, RunsTexts
from views.runs.state import runs_state
from views.shared.language import _
from views.shared.moments import reader_zone, when
from views.shared.person import person
from views.shared.run_events import events_of, name_of, summary_of
from views.shared.run_queue import waiting
from views.shared.server import backend

SIGNS = {"queued": "○", "running": "◐", "finished": "●", "stopped": "■", "failed": "×"}


def show(rows: list[RunRow]) -> None:
    """The list. What is picked in it becomes the session's selection."""
    components.runs(table_data(rows, runs_state().selected), _pick)


def _pick(runs: list[str]) -> None:
    runs_state().selected = runs


def table_data(rows: list[RunRow], picked: list[str]) -> RunsData:
    """What the component draws: plain values and texts."""
    found = [summary_of(row) for row in rows]
    metric = common_metric(found)
    drawn = [_row(row, each, metric is None) for row, each in zip(rows, found, strict=True)]
    return {"texts": list_texts(), "heads": heads(metric), "rows": drawn, "selected": picked}


def list_texts() -> RunsTexts:
    return {
        "label": _("runs"), "run": _("run"), "state": _("state"), "select": _("select"),
        "mine": _("yours"), "pinned": _("pinned"),
    }  # fmt: skip


def heads(metric: Metric | None = ACCURACY) -> list[HeadData]:
    """The columns of what a run is and came to, in the order of a row's cells. None: runs of several metrics."""
    scores = _("score (test)") if metric is None else _("{metric} (test)").format(metric=_(metric.name))
    return [
        {"text": _("recipe"), "number": False, "wide": True},
        {"text": _("repair"), "number": False, "wide": False},
        {"text": _("tuning"), "number": False, "wide": False},
        {"text": _("seed"), "number": True, "wide": False},
        {"text": scores, "number": True, "wide": False},
        {"text": _("size, gzipped"), "number": True, "wide": False},
        {"text": _("MACs"), "number": True, "wide": False},
        {"text": _("file"), "number": False, "wide": False},
        {"text": _("started"), "number": True, "wide": False},
    ]


def _row(row: RunRow, found: Summary, named: bool) -> RunRowData:
    note, fraction = _live(row)
    return {
        "id": row.id,
        "name": name_of(row),
        "sub": row.id if row.title else "",
        "mine": row.session == person(),
        "pinned": row.pinned,
        "state": row.state,
        "sign": SIGNS[row.state],
        "word": _word(row),
        "note": note,
        "fraction": fraction,
        "cells": [*recipe_words(row), *_numbers(found, named), _verified(found), _when(row)],
    }


def _word(row: RunRow) -> str:
    if backend().store.paused(row):
        return _("paused")
    return _("stopping") if row.state == "running" and row.stopping else _(row.state)


def _live(row: RunRow) -> tuple[str, float | None]:
    """How far a live run is: in words, and as a share of the whole where it has begun."""
    if row.state == "queued":
        return waiting(row), None
    if row.state != "running":
        return "", None
    if why := backend().store.paused(row):
        return why, None
    at = progress(events_of(row), row.seconds)
    left = "" if at.seconds_left is None else _(", {time} left").format(time=duration(at.seconds_left))
    return at.phase + left, at.fraction


def recipe_words(row: RunRow) -> list[tuple[str, str]]:
    """The workload with units, criterion, scope and amount; the repair; the tuning; the seed.

    Of a recipe that this version cannot read, why.
    """
    if row.unreadable:
        return [(str(plain_recipe(row.recipe_json).get("workload", "?")), row.unreadable), *[("", "")] * 3]
    return _words(row.recipe_json)


@lru_cache(maxsize=2000)  # a recipe takes 2 ms to read, and the list is drawn once a second
def _words(recipe_json: str) -> list[tuple[str, str]]:
    recipe = from_json(recipe_json)
    return [
        (f"{recipe.workload} · {how_much(recipe.amount)}", what_is_pruned(recipe)),
        (kind_of(recipe.repair).replace("_", " "), ""),
        how_tuned(recipe),
        (str(recipe.seed), ""),
    ]


def _numbers(found: Summary, named: bool) -> list[tuple[str, str]]:
    """Score, size and MACs before → after; empty where they are not measured. `named`: the score with its name."""
    dense, now, metric = found.dense, found.tuned, found.metric
    if dense is None:
        return [("", "")] * 3
    before = (f"{metric.name} " if named else "") + bare_score(dense.score, metric)
    if now is None:
        return [(f"{before} → …", ""), ("", ""), ("", "")]
    return [
        (f"{before} → {score_text(now.score, metric, 1)}", change_text(now.score - dense.score, metric)),
        _fewer(dense, now, dense.gzip_bytes, now.gzip_bytes, "B"),
        _fewer(dense, now, dense.macs, now.macs, ""),
    ]


def _fewer(dense: Stage, now: Stage, before: int, after: int, unit: str) -> tuple[str, str]:
    return f"{si(before, unit)} → {si(after, unit)}", relative(before, after)


def _verified(found: Summary) -> tuple[str, str]:
    if found.verified is None:
        return "", ""
    return (_("✓ verified"), "") if found.verified else (_("× not verified"), _("see the notes"))


def _when(row: RunRow) -> tuple[str, str]:
    began = row.started or row.created
    took = duration(row.seconds) if row.finished and row.started else ""
    return when(began, datetime.now(reader_zone())), took
