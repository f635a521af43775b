"""A process that may do next to nothing, for bytes that nobody vouches for: a file goes in, files come out.

    with tempfile.TemporaryDirectory() as folder:
        answer = run(Task("package.module", "function"), given, Path(folder), Limits())

The function gets the file and the empty folder. What it writes there and what it returns, plain values, are a
stranger's too: whoever asked looks at them before they are used.
"""

from pruning.files.child.limits import Answer, ChildError, Limits, Task
from pruning.files.child.parent import run

__all__ = ["Answer", "ChildError", "Limits", "Task", "run"]
