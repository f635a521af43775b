"""Which program carried a run out: only the same one is sure to come to the same again."""

import hashlib
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_DECIDES = ("pruning/**/*.py", "sample_models/**/*")


@cache  # a tenth of a second, for the weights and the data of the sample models
def program_digest() -> str:
    """Of the library, the sample models with their weights and data, torch and Python, in 16 hexadecimal digits."""
    digest = hashlib.sha256(f"{sys.version} {_version('torch')}".encode())
    for path in sorted(path for pattern in _DECIDES for path in _ROOT.glob(pattern)):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"{path.relative_to(_ROOT).as_posix()} {path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
