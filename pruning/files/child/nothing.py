"""The task that does nothing, for who wants to know what a child gets."""

from pathlib import Path


def nothing(given: Path, folder: Path) -> None:
    """Return at once."""
