"""How the tests read the documentation: headings, tables and code blocks of a page."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"

_BLOCK = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file that its title names (else ""), its text, and its first line's number."""

    language: str
    file: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(match[1], match[2] or "", match[3], text.count("\n", 0, match.start(3)) + 1)
        for match in _BLOCK.finditer(text)
    ]


def headings(page: Path) -> list[str]:
    """The text of all headings, without backticks. What looks like one in a code block is none."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [line.lstrip("#").strip().replace("`", "") for line in text.splitlines() if line.startswith("#")]


def sections(page: Path, level: int) -> dict[str, str]:
    """Heading of that level, without backticks -> the text below it, down to the next heading of that level."""
    text = page.read_text(encoding="utf-8")
    parts = re.split(rf"^{'#' * level} (.+)$", text, flags=re.MULTILINE)
    return {name.replace("`", ""): below for name, below in zip(parts[1::2], parts[2::2], strict=True)}
