"""Text that is not ours, on a page that understands Markdown: shown as the letters that it is."""

import re

from pruning.errors import printable

LONGEST = 1000
_MEANT = re.compile(r"[\\`*\[\]<>$~|&^]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown takes for more than a letter. Between two letters an underscore is one: `mlp_128` stays as it is."""
_BEGIN = re.compile(r"^(\d*)([#+=\-.)])")
_NAME = re.compile(r"(:(?=\S)|@|(?i:\bwww)(?=\.))")
"""What makes icons, colours and addresses of the text around it, escaped or not."""
_JOINER = "\u2060"


def plain(text: object, longest: int = LONGEST) -> str:
    """The text (or what an error says) as Markdown that shows it: no picture, link, colour, icon or formula comes of it.

    Streamlit looks for `:icon:` and `https://...` when the escapes are gone already. So a sign that nobody sees, and
    that joins what stands beside it, comes between.
    """
    flat = printable(" ".join(str(text).split()), longest)
    return _BEGIN.sub(r"\1\\\2", _NAME.sub(rf"\1{_JOINER}", _MEANT.sub(r"\\\g<0>", flat)))


def shown(markdown: str) -> str:
    """What a reader sees of what `plain` gave."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown).replace(_JOINER, "")
