"""The one table of colours, dashes and marks: page, report and notebook take all of them from here.

Hues are those of Okabe and Ito (2008), which people with any common kind of colour blindness can distinguish; lines and
points also differ in dash and mark. Magnitudes are shaded in cividis (Nuñez et al. 2018).
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """How something looks in every chart: its hue, the dash of its line and the mark of its points."""

    hue: str
    dash: str
    mark: str


BLUE, ORANGE, GREEN, PINK, YELLOW, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
GREY = "#7a828a"  # can be read on the light page and on the dark one
PALE_GREY, GRID = "rgba(122, 130, 138, 0.5)", "rgba(122, 130, 138, 0.28)"
DARK_INK, LIGHT_INK = "#000000", "#ffffff"
TRANSPARENT = "rgba(0,0,0,0)"
MAGNITUDES = "Cividis"

STAGES: Mapping[str, Style] = {
    "dense": Style(BLUE, "dash", "circle"),
    "pruned": Style(ORANGE, "dot", "x"),
    "repaired": Style(SKY, "longdash", "triangle-up"),
    "tuned": Style(GREEN, "solid", "square"),
    "exported": Style(PINK, "dashdot", "diamond-open"),
}

SERIES: Mapping[str, Style] = {
    "accuracy": STAGES["tuned"],  # of the network that is being tuned
    "sparsity": Style(GREY, "dash", "circle"),
    "near zero": Style(YELLOW, "dot", "diamond"),
    "loss": Style(GREY, "solid", "circle"),
    "interval": Style(GREY, "solid", ""),
    "round": Style(GREY, "dot", ""),
}
"""What is drawn over the steps of a run. Only accuracy has the hue of a stage: it is the accuracy of that stage."""

KEPT, PRUNED = GREY, PALE_GREY
"""Bars of units and weights. Those of pruned ones are also hatched."""
CUT = STAGES["pruned"].hue
"""The line at which scores are cut, and the outline of a chosen cell of the map."""

LAYERS = (
    Style(ORANGE, "solid", "circle"),
    Style(SKY, "dash", "cross"),
    Style(YELLOW, "dot", "square"),
    Style(GREY, "dashdot", "triangle-up"),
)
"""Layers in one chart with the dense network, whose hue none of them has."""

RUN_HUES = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY)
RUN_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
RUN_MARKS: Mapping[str, str] = {
    "circle": "●",
    "square": "■",
    "diamond": "◆",
    "triangle-up": "▲",
    "triangle-down": "▼",
    "star": "★",
    "cross": "✚",
}
"""Plotly's name of a mark -> the character that looks like it, for tables."""


def run_style(place: int) -> Style:
    """The style of the run at this place of a comparison, from 0. The same style comes again only after 210 runs."""
    marks = tuple(RUN_MARKS)
    return Style(RUN_HUES[place % len(RUN_HUES)], RUN_DASHES[place % len(RUN_DASHES)], marks[place % len(marks)])


DASH_LENGTHS: Mapping[str, tuple[int, ...]] = {
    "solid": (1, 0),
    "dash": (6, 3),
    "dot": (2, 2),
    "dashdot": (8, 3, 2, 3),
    "longdash": (10, 4),
}
"""Plotly's name of a dash -> lengths of line and gap in pixels, for charts that plotly does not draw."""


@dataclass(frozen=True)
class Ground:
    """The colours of a page: background, panels, text, softer text, lines, what is good, bad or can be clicked."""

    ground: str
    panel: str
    ink: str
    soft: str
    line: str
    good: str
    bad: str
    accent: str


LIGHT = Ground("#ffffff", "#f5f6f7", "#1d2125", "#59626b", "#d5d9dd", "#00694e", "#a83c00", BLUE)
DARK = Ground("#15181b", "#1d2125", "#e6e9ec", "#a3abb3", "#394149", "#35c49a", "#ff9152", SKY)
PAPER = Ground("#ffffff", "#f5f6f7", "#000000", "#444444", "#c0c0c0", "#00694e", "#a83c00", BLUE)
"""Printed: black on white."""


def css_variables(ground: Ground) -> str:
    """The colours as CSS variables: `--ground: #ffffff; --panel: ...`."""
    return " ".join(f"--{name}: {colour};" for name, colour in vars(ground).items())


CSS = f"--cut: {CUT}; --bad: {LIGHT.bad}; --bad-dark: {DARK.bad};"
"""CSS variables that a style sheet of the page needs besides those of the page's theme."""
