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
from pathlib import Path
exec(compile(Path("snippet.py").read_text(), "snippet.py", "exec"))
with torch.no_grad():
    again = model(torch.load("inputs.pt"))
torch.save([output, again], "outputs.pt")
"""


def printed(report: Path) -> str:
    """The snippet that a report's page shows."""
    blocks = re.findall(r"<pre>(.*?)</pre>", report.read_text(encoding="utf-8"), re.DOTALL)
    (text,) = (block for block in blocks if "output = model(inputs)" in block)
    return html.unescape(text)


def outputs_of(snippet: str, inputs: Tensor, folder: Path) -> list[Tensor]:
    """What the snippet calls `output`, and what its `model` makes of these inputs, in the folder where the files lie.

    AssertionError with the last words of the process if it fails.
    """
    (folder / "snippet.py").write_text(snippet)
    torch.save(inputs, folder / "inputs.pt")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{done.stderr[-600:]}\n{snippet}"
    return torch.load(folder / "outputs.pt")
