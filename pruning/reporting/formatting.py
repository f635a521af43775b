"""How numbers are written, everywhere: three significant digits, thin spaces, SI units, signed changes."""

import math

THIN = "\u202f"  # a thin space at which no line breaks
MINUS = "\u2212"


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


def duration(seconds: float) -> str:
    """Seconds in words: `0.4 s`, `38 s`, `2 min 05 s`, `1 h 12 min`."""
    if seconds < 10:
        return f"{seconds:.1f}{THIN}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{THIN}s"
    if whole < 3600:
        return f"{whole // 60}{THIN}min {whole % 60:02d}{THIN}s"
    return f"{whole // 3600}{THIN}h {whole % 3600 // 60:02d}{THIN}min"
