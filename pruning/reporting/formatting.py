"""How numbers are written, everywhere: three significant digits, thin spaces, SI units, signed changes.

The second half is about scores. Shares of right answers are written in percent and their changes in points; any other
score is written in its own unit, and where lower is better a change says in words whether it is for the worse.
"""

import math
from html import escape

from pruning.durations import THIN
from pruning.durations import duration as duration  # lower down, where sentences are refused with it
from pruning.errors import printable
from pruning.metric import Metric

MINUS = "\u2212"

COST_NAMES = {"parameters": "parameters", "bytes": "bytes", "macs": "MACs", "latency": "time of a pass"}
"""What a search makes smaller, in words."""


def as_text(name: str) -> str:
    """A name in a figure of Plotly, which takes `<a href=...>` for a link: the letters that it is."""
    return escape(printable(name), quote=False)


def count(value: int) -> str:
    """An exact count, with thin spaces between thousands: `20 490`."""
    return f"{value:,}".replace(",", THIN).replace("-", MINUS)


def si(value: float, unit: str = "") -> str:
    """Three significant digits with an SI prefix: `82.4 kB`, `1.03 M`. Small whole numbers stay exact."""
    size = abs(value)
    if size < 1000 and float(value).is_integer():
        return f"{int(value)}{THIN if unit else ''}{unit}".replace("-", MINUS)
    prefixes = ["", "k", "M", "G", "T"]
    step = 0
    while size >= 999.5 and step < len(prefixes) - 1:
        size /= 1000
        step += 1
    text = significant(math.copysign(size, value))
    suffix = f"{prefixes[step]}{unit}"
    return f"{text}{THIN}{suffix}" if suffix else text


def significant(value: float, digits: int = 3) -> str:
    """With this many significant digits: `0.0123`, `1.20`, `312`. An exponent only below 0.0001."""
    if value == 0:
        return "0"
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])  # of the rounded value, for 0.9996 becomes 1.00
    if exponent < -4:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    return f"{value:.{max(digits - 1 - exponent, 0)}f}".replace("-", MINUS)


def percent(share: float, decimals: int = 1) -> str:
    """A share in [0, 1] as a percentage: `91.6 %`."""
    return f"{100 * share:.{decimals}f}{THIN}%".replace("-", MINUS)


def points(change: float, decimals: int = 2) -> str:
    """A change between two shares, signed, in percentage points: `−0.84 points`; no sign for none."""
    rounded = round(100 * change, decimals)
    sign = "+" if rounded > 0 else MINUS if rounded < 0 else "±"
    return f"{sign}{abs(rounded):.{decimals}f}{THIN}points"


def bare_points(change: float, decimals: int = 1) -> str:
    """As `points`, without the unit, which a heading says: `−0.8`, `+12.3`, `0.0`."""
    text = f"{100 * change:+.{decimals}f}"
    return text.replace("-", MINUS) if text.strip("+-0.") else text[1:]


def relative(before: float, after: float) -> str:
    """A relative change, signed: `−79.9 %`; `±0 %` where nothing changed."""
    if before == after or before == 0:
        return f"±0{THIN}%"
    change = 100 * (after - before) / before
    return f"{'+' if change > 0 else MINUS}{abs(change):.1f}{THIN}%"


def score_text(score: float, metric: Metric, decimals: int = 2) -> str:
    """A score: `91.62 %`, or in its own unit with two digits more than `decimals`: `0.01234`."""
    return percent(score, decimals) if metric.percent else significant(score, decimals + 2)


def change_text(change: float, metric: Metric, decimals: int = 2, half_width: float = 0.0) -> str:
    """A signed change of a score: `−0.84 points`, or in its own unit `+0.0123 worse`.

    `half_width` is that of an estimate: what it leaves open is not written, neither digits nor whether it is worse. In
    points the decimals say how far to go.
    """
    text = points(change, decimals) if metric.percent else _signed(change, decimals + 1, half_width)
    if metric.better == "higher" or text[:1] not in ("+", MINUS) or abs(change) <= half_width:
        return text
    return f"{text} {'worse' if change > 0 else 'better'}"


def bare_change(change: float, metric: Metric, decimals: int = 1, half_width: float = 0.0) -> str:
    """As `change_text`, without the unit and words, which a heading says: `−0.8`, `+0.012`, `0.0`."""
    return bare_points(change, decimals) if metric.percent else _signed(change, decimals + 1, half_width)


def width_text(half_width: float, metric: Metric, decimals: int = 1) -> str:
    """The half-width of an interval: `0.6 %`, or in the score's own unit `0.0012`."""
    return percent(half_width, decimals) if metric.percent else significant(half_width, 2)


def bare_width(half_width: float, metric: Metric, decimals: int = 1) -> str:
    """As `width_text`, without the unit: `0.6`."""
    return f"{100 * half_width:.{decimals}f}" if metric.percent else significant(half_width, 2)


def bare_score(score: float, metric: Metric, half_width: float = 0.0) -> str:
    """A score before its interval or an arrow, which the unit follows: `91.2`; in its own unit `0.0123`."""
    return f"{100 * score:.1f}" if metric.percent else _rounded(score, 3, half_width)


def limit_text(limit: float, metric: Metric) -> str:
    """How much worse a score may become: `1 point`, `2.5 points`, `0.005 MSE`."""
    number = f"{100 * limit:g}" if metric.percent else f"{limit:g}"
    return f"{number} point" if metric.percent and number == "1" else f"{number} {unit_of(metric)}"


def worse_than_allowed(drop: float, limit: float, metric: Metric) -> str:
    """`accuracy dropped by 1.23 points, more than 1`; `MSE rose by 0.0123, more than 0.01`."""
    went = "dropped" if metric.better == "higher" else "rose"
    by, allowed = (f"{100 * drop:.2f} points", f"{100 * limit:g}") if metric.percent else (f"{drop:.4g}", f"{limit:g}")
    return f"{metric.name} {went} by {by}, more than {allowed}"


def unit_of(metric: Metric) -> str:
    """What changes of the score are counted in: `points`, or the metric's own name."""
    return "points" if metric.percent else metric.name


def changes_of(metric: Metric) -> str:
    """What a table of bare changes is of: `accuracy in points`; `MSE (lower is better)`."""
    if metric.percent and metric.better == "higher":
        return f"{metric.name} in points"
    return f"{metric.name}{' in points' if metric.percent else ''} ({metric.better} is better)"


def intervals_of(metric: Metric) -> str:
    """What the numbers after ± are. No interval of a score without bounds holds for whatever samples."""
    return "± 95 % intervals" if metric.bounded else f"± 95 % intervals (asymptotic: {metric.name} has no bounds)"


def capitalised(name: str) -> str:
    """At the beginning of a heading: `Accuracy`; what is written in capitals stays: `mAP`, `R²`."""
    return name.capitalize() if name.islower() else name


def score_label(metric: Metric, split: str) -> str:
    """What a row of scores is called: `accuracy, test`; `MSE, test (lower is better)`."""
    return f"{metric.name}, {split}{' (lower is better)' if metric.better == 'lower' else ''}"


def axis_title(metric: Metric, split: str) -> str:
    """What an axis of `on_axis` is called: `accuracy, % (test)`; `MSE (test), lower is better`."""
    unit = ", %" if metric.percent else ""
    return f"{metric.name}{unit} ({split}){', lower is better' if metric.better == 'lower' else ''}"


def on_axis(score: float, metric: Metric) -> float:
    """A score as an axis counts it: in percent, or in its own unit."""
    return 100 * score if metric.percent else score


def axis_ends(metric: Metric) -> list[float] | None:
    """Where an axis of all scores ends, as `on_axis`; None where the metric has no bounds."""
    return [on_axis(end, metric) for end in metric.ends] if metric.bounded else None


def hover_text(place: str, metric: Metric) -> str:
    """How plotly writes what lies at `place` of a point, such as `y`, of an axis of `on_axis`."""
    return f"%{{{place}:.2f}} %" if metric.percent else f"%{{{place}:.4g}}"


def _signed(change: float, digits: int, half_width: float) -> str:
    text = _rounded(change, digits, half_width)
    return f"+{text}" if change > 0 and text.strip("0.") else text if text.strip(f"{MINUS}0.") else text.strip(MINUS)


def _rounded(value: float, digits: int, half_width: float) -> str:
    """With this many digits, but none that lie below the second one of the half-width."""
    if half_width <= 0 or not math.isfinite(half_width):
        return significant(value, digits)
    decimals = max(1 - math.floor(math.log10(half_width)), 0)
    return f"{value:.{min(decimals, 12)}f}".replace("-", MINUS)
