"""`backup` and `restore`: the runs of this server, with their files, put away and brought back."""

from pathlib import Path

from pruning.execution.store.backup import Manifest, back_up
from pruning.execution.store.restoration import restore as put_back
from pruning.execution.store.store import default_home
from pruning.reporting.formatting import si


def backup(target: Path) -> None:
    """Back up the home into the folder, or into the archive where the name ends in .tar."""
    manifest = back_up(default_home().absolute(), target.absolute())
    print(f"backed up {_words(manifest)} to {target}")


def restore(source: Path, force: bool) -> None:
    """Put a backup in the place of the home."""
    home = default_home().absolute()
    manifest, aside = put_back(source.absolute(), home, force)
    print(f"restored {_words(manifest)} of {manifest.made} to {home}")
    if aside is not None:
        print(f"what was there before is in {aside}")


def _words(manifest: Manifest) -> str:
    return f"{manifest.runs} runs, {len(manifest.files)} files, {si(manifest.bytes, 'B')}"
