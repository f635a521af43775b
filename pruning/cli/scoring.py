"""`score`: load exported files and score them again."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from pruning.cli.console import table
from pruning.exporters.verification import score_file, to_dict
from pruning.model.devices import device_name
from pruning.reporting.formatting import count, percent, si
from pruning.reporting.run_summary import milliseconds
from pruning.workload import Workload


def score(files: Sequence[Path], workload: Workload, device: torch.device, as_json: bool) -> None:
    found = [score_file(file, workload, device) for file in files]
    if as_json:
        for each in found:
            print(json.dumps({**to_dict(each), "workload": workload.name, "device": device_name(device)}))
        return
    console = Console()
    made = table("", *(Path(each.file).name for each in found))
    stages = [each.stage for each in found]
    made.add_row("accuracy, test", *(f"{percent(stage.score, 2)} of {count(stage.samples)}" for stage in stages))
    made.add_row("accuracy, validation", *(percent(stage.validation, 2) for stage in stages))
    made.add_row("parameters", *(count(stage.parameters) for stage in stages))
    made.add_row("non-zeros", *(count(stage.nonzero) for stage in stages))
    made.add_row("bytes as .safetensors", *(si(stage.bytes, "B") for stage in stages))
    made.add_row("gzipped", *(si(stage.gzip_bytes, "B") for stage in stages))
    made.add_row("MACs", *(si(stage.macs) for stage in stages))
    made.add_row("latency of one sample", *(milliseconds(stage.latency_ms) for stage in stages))
    console.print(made)
    console.print(f"{workload.name} on {device_name(device)}", markup=False, highlight=False)
