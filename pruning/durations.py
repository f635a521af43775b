"""How a length of time is written, everywhere: on pages, in the terminal and in what is refused for taking too long."""

THIN = "\u202f"  # a thin space at which no line breaks


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
