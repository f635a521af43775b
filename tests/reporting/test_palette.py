"""Every hue is written once; what means the same looks the same, and nothing is told by hue alone."""

import re
import tomllib
from pathlib import Path

import pytest
from plotly.colors import get_colorscale, unlabel_rgb

from pruning.reporting import palette
from pruning.reporting.palette import DARK, LAYERS, LIGHT, SERIES, STAGES, Style
from pruning.reporting.plots_run import curve_figure, units_figure
from pruning.reporting.run_summary import Curve, CutMark, LossPoint, ScorePoint

ROOT = Path(__file__).resolve().parents[2]
DRAWING = [ROOT / "pruning" / "reporting", ROOT / "pruning" / "exporters", ROOT / "views"]
HEX = re.compile(r"(?<!&)#(?:[0-9a-fA-F]{8}|[0-9a-fA-F]{6}|[0-9a-fA-F]{3,4})\b")
PARTS = re.compile(r"\b(?:rgb|hsl)a?\(\s*\d[^)]*\)")


def grey(colour: str) -> bool:
    """Black, white and the greys between are no hues: lines, veils and hatching of style sheets."""
    if colour.startswith("#"):
        digits = colour[1:]
        width = 2 if len(digits) > 4 else 1
        parts = [digits[at : at + width] for at in range(0, 3 * width, width)]
    else:
        parts = re.findall(r"[\d.]+", colour)[:3]
    return len(set(parts)) == 1


def hues(text: str) -> list[str]:
    return [colour for pattern in (HEX, PARTS) for colour in pattern.findall(text) if not grey(colour)]


def drawing(*kinds: str) -> list[Path]:
    files = [file for folder in DRAWING for kind in kinds for file in folder.rglob(f"*.{kind}")]
    return [file for file in files if file.name != "palette.py"]


@pytest.mark.parametrize(
    "text, found",
    [
        ("#0072B2", ["#0072B2"]),
        ("rgba(122, 130, 138, 0.5)", ["rgba(122, 130, 138, 0.5)"]),
        ("hsl(20 30% 40%)", ["hsl(20 30% 40%)"]),
        ("color: #c30", ["#c30"]),
        ("1px solid #8884; rgba(0,0,0,.45) #ffffff #fff8", []),
        ("issue #1234567 and &#8239; and `rgb(${x})`", []),
    ],
)
def test_a_hue_is_seen(text: str, found: list[str]) -> None:
    assert hues(text) == found


def test_no_hue_is_written_anywhere_else() -> None:
    written = {file.name: found for file in drawing("py", "css", "js", "jinja") if (found := hues(file.read_text()))}
    assert len(drawing("py")) > 30 and written == {}


def test_the_shades_of_the_heatmap_are_those_of_the_report() -> None:
    (table,) = re.findall(r"const CIVIDIS = (\[\[.*?\]\]);", (ROOT / "views" / "lab" / "heatmap.js").read_text())
    there = [tuple(map(int, part.split(","))) for part in re.findall(r"\[(\d+,\d+,\d+)\]", table)]
    known = get_colorscale(palette.MAGNITUDES)
    assert there == [tuple(round(part) for part in _rgb(colour)) for _, colour in known]


def _rgb(colour: str) -> tuple[float, ...]:
    if colour.startswith("#"):
        return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return tuple(unlabel_rgb(colour))


def test_the_theme_of_the_page_is_that_of_the_report() -> None:
    theme = tomllib.loads((ROOT / "views" / "settings.toml").read_text())["theme"]
    for name, ground in (("light", LIGHT), ("dark", DARK)):
        there = [
            theme[name][key] for key in ("backgroundColor", "secondaryBackgroundColor", "textColor", "primaryColor")
        ]
        assert there == [ground.ground, ground.panel, ground.ink, ground.accent]


def test_accuracy_has_one_look_and_no_other_series_has_a_stages_hue() -> None:
    assert SERIES["accuracy"] == STAGES["tuned"]
    others = {style.hue for name, style in SERIES.items() if name != "accuracy"}
    assert not others & {style.hue for style in STAGES.values()}


@pytest.mark.parametrize("styles", [tuple(STAGES.values()), LAYERS], ids=["stages", "layers"])
def test_nothing_is_told_by_hue_alone(styles: tuple[Style, ...]) -> None:
    for field in ("hue", "dash", "mark"):
        assert len({getattr(style, field) for style in styles}) == len(styles)


def test_the_curve_of_a_run_takes_its_looks_from_the_palette() -> None:
    points = Curve((ScorePoint(1, 0.5, 0.5),), (LossPoint(1, 2.0),), (CutMark(1, 0),), 0.9, 1)
    drawn = {trace.name: trace for trace in curve_figure(points).data}
    looks = {"while tuning": SERIES["accuracy"], "dense": STAGES["dense"], "sparsity": SERIES["sparsity"]}
    for name, style in looks.items():
        assert (drawn[name].line.color, drawn[name].line.dash) == (style.hue, style.dash)


def test_pruned_units_are_hatched_and_not_blue() -> None:
    (bars,) = units_figure([3.0, 1.0], [False, True]).data
    assert list(bars.marker.pattern.shape) == ["", "/"]
    assert STAGES["dense"].hue not in {*bars.marker.color, bars.marker.pattern.fgcolor}
