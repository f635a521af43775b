"""How a regulariser pushes units to zero: a histogram for each layer, at first and at any later validation."""

import base64
import math
from collections.abc import Sequence
from html import escape

import streamlit as st

from pruning.events import NEAR_ZERO, SIZES_FROM, SIZES_TO, UnitSizes
from pruning.reporting.formatting import count, percent
from pruning.reporting.pictures import sizes_svg
from views.shared.language import _

CSS = """<style>
.sizes { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 10px 16px; }
.sizes figure { margin: 0; min-width: 0; }
.sizes img { display: block; width: 100%; height: 52px; }
.sizes figcaption { font-size: 12px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.sizes .axis { position: relative; height: 15px; font-size: 11px; opacity: .75; font-variant-numeric: tabular-nums; }
.sizes .axis span { position: absolute; }
.sizes .axis span + span { transform: translateX(-50%); }
</style>"""
MOST = 24
"""Layers that are drawn; of more only the first."""


def draw(history: Sequence[UnitSizes], key: str) -> None:
    """Nothing where no regulariser acts."""
    if not history:
        return
    now = history[-1]
    if len(history) > 2:
        by_step = {event.step: event for event in history[1:]}
        # a key for each length: while the run goes on the slider follows it
        at = st.select_slider(
            _("sizes of units after step"), list(by_step), value=now.step, key=f"{key}_sizes_{len(history)}",
            help=_("Move it to see how units are pushed to zero."),
        )  # fmt: skip
        now = by_step[at]
    st.html(CSS + sizes_html(history[0], now))
    words = _(
        "{share} of the units are near zero after {step} steps. Sizes beside the mean size in the dense network, on a "
        "logarithmic scale; bars: now, dashed line: at first; near zero: below a hundredth. Heights grow as a root."
    )
    st.caption(words.format(share=percent(now.near_zero), step=count(now.step)))
    if len(now.counts) > MOST:
        st.caption(_("The first {n} of {all} layers are drawn.").format(n=MOST, all=len(now.counts)))


def sizes_html(first: UnitSizes, now: UnitSizes) -> str:
    """A small histogram for each layer, side by side as there is room."""
    drawn = [name for name in now.counts if name in first.counts][:MOST]
    return f"<div class='sizes'>{''.join(_layer(name, first.counts[name], now.counts[name]) for name in drawn)}</div>"


def _layer(name: str, first: Sequence[int], now: Sequence[int]) -> str:
    # as a file, for Streamlit takes SVG out of HTML
    svg = sizes_svg(name, first, now)
    title = svg.partition("<title>")[2].partition("</title>")[0]
    data = base64.b64encode(svg.encode()).decode("ascii")
    axis = "".join(f"<span style='left:{_place(size):.0f}%'>{size:g}</span>" for size in (0, NEAR_ZERO, 1))
    return (
        f"<figure><img alt='{title}' src='data:image/svg+xml;base64,{data}'><div class='axis'>{axis}</div>"
        f"<figcaption title='{escape(name)}'>{escape(name)}</figcaption></figure>"
    )


def _place(size: float) -> float:
    """Where a size stands on the axis, in per cent of its length."""
    return 100 * math.log(max(size, SIZES_FROM) / SIZES_FROM) / math.log(SIZES_TO / SIZES_FROM)
