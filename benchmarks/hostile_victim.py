"""`python -m benchmarks.hostile_victim`: scores the files that are named to it, one after the other, as `score` does.

A line of standard input is a path, a line of standard output what came of it. Whoever started it sees to what it does
beside that: it may end, hang, or take the machine's memory.
"""

import json
import resource
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from pruning.__main__ import command_line
from pruning.exporters.loading import load_network
from pruning.exporters.reading import read_network
from sample_models import MODELS

MODEL = "mlp_128"
CPU = torch.device("cpu")


def main() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        answer = json.dumps(scored(Path(json.loads(line))))
        print(answer, flush=True)


def scored(path: Path) -> dict[str, float | str | bool]:
    """How long it took, what was said, and whether what was accepted is what the file says."""
    start = time.monotonic()
    result = CliRunner().invoke(command_line(), ["score", str(path), "--workload", MODEL, "--json"])
    seconds = time.monotonic() - start
    said = result.stderr.strip()
    outcome = "accepted" if result.exit_code == 0 else "refused"
    # what nobody foresaw is called a fault of ours, or of the line of a workload's file
    unforeseen = "this is a fault of Pruning Explorer" in said or "it failed with" in said
    sentence = said.startswith("error: ") and "\n" not in said and not unforeseen
    if outcome == "refused" and (result.exit_code != 2 or not sentence):
        outcome = "traceback"
    most = [resource.getrusage(who).ru_maxrss * 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    differs = outcome == "accepted" and not _as_it_says(path)
    return {"outcome": outcome, "seconds": seconds, "said": said, "bytes": max(most), "differs": differs}


def _as_it_says(path: Path) -> bool:
    """Whether the network holds what plain libraries read: the same names and values, of whatever type."""
    said = _plainly(path)
    tensors, sizes = read_network(path)
    held = load_network(MODELS[MODEL](), tensors, CPU, sizes).state_dict()
    return held.keys() == said.keys() and all(_same(held[name], said[name]) for name in held)


def _plainly(path: Path) -> dict[str, Tensor]:
    if path.read_bytes()[:2] == b"PK":
        return torch.load(path, map_location=CPU, weights_only=True)
    return load_file(path)


def _same(held: Tensor, said: Tensor) -> bool:
    return not said.is_complex() and torch.equal(held.double(), said.double())


if __name__ == "__main__":
    main()
