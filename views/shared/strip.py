"""The four numbers on top: before → now, the change, and how sure we are."""

from dataclasses import dataclass
from html import escape

import streamlit as st

from pruning.evaluation.estimate import Estimate
from pruning.interactive.responses import AccuracyPreview, CutPreview, ModelView, RepairPreview
from pruning.metric import Metric
from pruning.reporting.formatting import (
    bare_score,
    capitalised,
    change_text,
    count,
    duration,
    percent,
    relative,
    score_text,
    si,
    width_text,
)
from views.shared.language import _

CSS = """<style>
.strip { display: grid; grid-template-columns: repeat(auto-fit, minmax(155px, 1fr)); gap: 0 20px; font-variant-numeric: tabular-nums; }
.strip > div { border-top: 2px solid var(--st-border-color, #8886); padding: 6px 0 8px; min-height: 92px; }
.strip > .line { grid-column: 1 / -1; border: 0; min-height: 0; padding: 0; font-size: 14px; opacity: .85; }
.strip .label { font-size: 11px; letter-spacing: .05em; text-transform: uppercase; opacity: .8; }
.strip .value { font-size: clamp(16px, 1.4vw + 8px, 20px); font-weight: 600; line-height: 1.45; white-space: nowrap; }
.strip .before { font-weight: 400; opacity: .75; }
.strip .estimated { font-weight: 300; }
.strip .note { font-size: 12px; opacity: .85; }
.strip .seen { height: 4px; background: #8883; margin-top: 4px; max-width: 170px; }
.strip .seen > i { display: block; height: 100%; background: currentColor; opacity: .6; }
.strip.old, .strip .old { opacity: .35; }
</style>"""


@dataclass(frozen=True)
class Tile:
    """One number: `value` is HTML made here from numbers only; `notes` are texts."""

    label: str
    value: str
    notes: tuple[str, ...]
    seen: float | None = None


def show(tiles: list[Tile], stale: bool = False) -> None:
    """Draw the strip; its height does not depend on what it says. `stale` greys numbers that are not the controls'."""
    draw(html(tiles), stale=stale)


def html(tiles: list[Tile], line: str | None = None) -> str:
    """The strip's content: the tiles, and a line of text below them where there shall be one, though it be empty."""
    below = "" if line is None else f'<div class="line">{escape(line)}&nbsp;</div>'
    return "".join(map(_tile, tiles)) + below


def draw(content: str, token: str = "", stale: bool = False) -> None:
    """Draw what `html` made. By the `token` the browser finds it again: views/shared/watch.py."""
    watched = f' data-watch="{token}"' if token else ""
    st.html(CSS + f'<div class="strip{" old" if stale else ""}"{watched}>{content}</div>')


def score(model: ModelView, outcome: AccuracyPreview | None, waiting: str = "", of: str = "") -> Tile:
    """The score on the validation split: estimated with its interval, or measured; `waiting` says why there is none yet.

    `of` says of what the score is, where another one stands beside it.
    """
    label = _label(model.metric, of)
    if outcome is None:
        return Tile(label, _before(model) + '<span class="old">…</span>', (waiting, *([""] * bool(of))), 0.0)
    return _scored(model, label, outcome.estimate, ("",) if of else ())


def repaired(model: ModelView, outcome: RepairPreview | None, waiting: str) -> Tile:
    """The same after repair, and how long that took."""
    label = _label(model.metric, _("repaired"))
    if outcome is None:
        return Tile(label, _before(model) + '<span class="old">…</span>', (waiting, ""), 0.0)
    took = _("without labels, in {time}").format(time=duration(outcome.seconds))
    return _scored(model, label, outcome.estimate, (took if outcome.helped else _("did not help: left as cut"),))


def _before(model: ModelView) -> str:
    return f'<span class="before">{score_text(model.score, model.metric, 1)} → </span>'


def _scored(model: ModelView, label: str, seen: Estimate, more: tuple[str, ...]) -> Tile:
    metric, before = model.metric, _before(model)
    if seen.measured:
        text = score_text(seen.score, metric)
        value = f'{before}<span class="measured">{text}</span>'
        note = _("measured {score} on all {n} samples").format(score=text, n=count(seen.total))
    else:
        text, half = bare_score(seen.score, metric, seen.half_width), width_text(seen.half_width, metric)
        value = f'{before}<span class="estimated">{text} ± {half}</span>'
        note = _("estimated {score} ± {half} from {n} of {total} samples").format(
            score=text, half=half, n=count(seen.samples), total=count(seen.total)
        )
    change = _("change {change}").format(change=change_text(seen.change, metric, half_width=seen.half_width))
    return Tile(label, value, (note, change, *more), seen.samples / seen.total)


def _label(metric: Metric, of: str) -> str:
    words = _("{metric} (validation)") if metric.better == "higher" else _("{metric} (validation), lower is better")
    label = words.format(metric=capitalised(_(metric.name)))
    return f"{label}, {of}" if of else label


def sizes(model: ModelView, look: CutPreview, outcome: AccuracyPreview | None) -> list[Tile]:
    """Size on disk, parameters and MACs, before and after; known at once, but for gzip, which is measured."""
    dense = model.costs
    packed = si(outcome.gzip_bytes, "B") if outcome and outcome.gzip_bytes is not None else "…"
    removed = look.parameters < dense.parameters
    disk = Tile(
        _("Size on disk"),
        _arrow(si(dense.bytes, "B"), si(look.bytes, "B")),
        (
            _("dense {change}").format(change=relative(dense.bytes, look.bytes)),
            _("gzip {before} → {after}").format(before=si(dense.gzip_bytes, "B"), after=packed),
        ),
    )
    shown = look.parameters if removed else look.nonzero
    zeros = _("{n} were zero before").format(n=count(look.zero_before)) if look.zero_before else ""
    parameters = Tile(
        _("Parameters") if removed else _("Parameters, non-zero"),
        _arrow(si(dense.parameters), si(shown)),
        (
            _("kept {share}: {n} of {total}").format(
                share=percent(shown / dense.parameters), n=count(shown), total=count(dense.parameters)
            ),
            zeros or _where_units_went(look, removed),
        ),
    )
    fewer = look.macs < dense.macs
    macs = Tile(
        _("MACs per sample"),
        _arrow(si(dense.macs), si(look.macs)),
        (relative(dense.macs, look.macs), "" if fewer else _("zeros make no dense kernel faster")),
    )
    return [disk, parameters, macs]


def _where_units_went(look: CutPreview, removed: bool) -> str:
    if removed and look.zeroed:
        return _("some units taken out, some set to zero")
    return _("units taken out") if removed else _("zeros stay in the tensors")


def _arrow(before: str, now: str) -> str:
    return f'<span class="before">{escape(before)} → </span>{escape(now)}'


def _tile(tile: Tile) -> str:
    role = ' role="status"' if tile.seen == 1.0 else ""  # read aloud once it is measured, not at every poll
    notes = "".join(f'<div class="note"{role}>{escape(note)}&nbsp;</div>' for note in tile.notes)
    seen = "" if tile.seen is None else f'<div class="seen"><i style="width:{100 * tile.seen:.0f}%"></i></div>'
    return f'<div><div class="label">{escape(tile.label)}</div><div class="value">{tile.value}</div>{notes}{seen}</div>'
