"""`python -m pruning.files.child`: what a child cannot be kept from on this machine, if anything."""

import sys
import tempfile
from pathlib import Path

from pruning.files.child.limits import ChildError, Task
from pruning.files.child.parent import run


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        try:
            missing = run(Task("pruning.files.child.nothing", "nothing"), Path(folder), Path(folder)).missing
        except ChildError as error:
            print(f"no limited process can be started here ({error})", file=sys.stderr)
            return 2
    for each in missing:
        print(f"not limited: {each}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
