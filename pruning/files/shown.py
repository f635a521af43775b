"""Names that a stranger chose, as they stand in a sentence: text that is only text, and not too long."""

import unicodedata

LONGEST = 60


def shown(name: str, longest: int = LONGEST) -> str:
    """The name without what steers a terminal or turns text around, cut in its middle where it is long.

    >>> shown("fc.weight")
    'fc.weight'
    >>> shown("a" + chr(27) + "[31mb")
    'a?[31mb'
    """
    text = _plain(name[: longest + 1])  # a name of megabytes is not looked through
    if len(name) > longest:
        text = f"{text[: longest * 2 // 3]}…{_plain(name[-(longest // 3 - 1) :])}"
    return text or "(no name)"


def _plain(text: str) -> str:
    """Controls, directions, surrogates, what is unassigned (Unicode's categories C) and ends of lines as a "?"."""
    kinds = [unicodedata.category(character) for character in text]
    return "".join("?" if kind[0] == "C" or kind in ("Zl", "Zp") else c for c, kind in zip(text, kinds, strict=True))
