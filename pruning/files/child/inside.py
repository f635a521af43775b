"""The child's own side: import the task, give everything up, call it, say what came of it in one line of JSON."""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from pruning.errors import PruningError, describe, out_of_memory
from pruning.files.child.confinement import before_imports, confine
from pruning.files.child.limits import READY, Limits


def main(request: dict[str, Any]) -> None:
    """Answer the request. Whatever is printed meanwhile goes nowhere: standard output is for the answer."""
    answer, sys.stdout = sys.stdout.buffer, sys.stderr
    limits, folder, given = Limits(**request["limits"]), Path(request["folder"]), Path(request["given"])
    missing = before_imports()
    module, name = request["task"]
    function = getattr(import_module(module), name)
    missing += confine(limits, readable=given, writable=folder)
    answer.write(READY)
    answer.flush()
    try:
        told = json.dumps({"value": function(given, folder), "missing": missing})
    except PruningError as error:
        told = json.dumps({"reason": "refused", "said": str(error), "missing": missing})
    except Exception as error:  # whatever a stranger's bytes lead a library to
        told = json.dumps({"reason": _reason(error), "said": describe(error), "missing": missing})
    answer.write(told.encode())
    answer.flush()


def _reason(error: Exception) -> str:
    if out_of_memory(error):
        return "memory"
    return "space" if isinstance(error, OSError) and error.errno in (27, 28, 122) else "fault"  # EFBIG, ENOSPC, EDQUOT
