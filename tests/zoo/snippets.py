"""The lines of Python that a report prints, carried out exactly as they stand there by a process of its own."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
from tests.zoo.torchvision_import import import_torchvision
if sys.argv[1] != "torch":
    import_torchvision()  # where the snippet's own import of it, or of what needs it, might fail
import torch
given = torch.load("inputs.pt")
exec(compile(Path("snippet.py").read_text(), "snippet.py", "exec"))
with torch.no_grad():
    torch.save(model(given), "output.pt")
"""


def printed(report: Path) -> str:
    """The snippet that a report's page shows."""
    (text,) = re.findall(r"<pre>(import (?:json|torch)\n.*?)</pre>", report.read_text(encoding="utf-8"), re.DOTALL)
    return html.unescape(text)


def output_of(snippet: str, library: str, inputs: Tensor, folder: Path) -> Tensor:
    """What the snippet's `model` gives for these `inputs`, made in the folder where the file lies.

    AssertionError with the last words of the process if it fails.
    """
    (folder / "snippet.py").write_text(snippet)
    torch.save(inputs, folder / "inputs.pt")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, library]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, f"{done.stderr[-600:]}\n{snippet}"
    return torch.load(folder / "output.pt")
