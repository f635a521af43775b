"""`score`: load exported files and score them again."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console

from pruning.cli.console import table
from pruning.exporters.verification import score_file, to_dict
from pruning.model.devices import device_name
from pruning.reporting.formatting import count, score_label, score_text, si
from pruning.reporting.run_summary import milliseconds
from pruning.workload import Workload, metric_of


def score(files: Sequence[Path], workload: Workload, device: torch.device, as_json: bool) -> None:
    metric = metric_of(workload.task)
    found = [score_file(file, workload, device) for file in files]
    if as_json:
        for each in found:
            where = {"workload": workload.name, "device": device_name(device), "metric": asdict(metric)}
            print(json.dumps({**to_dict(each), **where}))
        return
    console = Console()
    made = table("", *(Path(each.file).name for each in found))
    stages = [each.stage for each in found]
    scores = (f"{score_text(stage.score, metric)} of {count(stage.samples)}" for stage in stages)
    made.add_row(score_label(metric, "test"), *scores)
    made.add_row(score_label(metric, "validation"), *(score_text(stage.validation, metric) for stage in stages))
    made.add_row("parameters", *(count(stage.parameters) for stage in stages))
    made.add_row("non-zeros", *(count(stage.nonzero) for stage in stages))
    made.add_row("bytes as .safetensors", *(si(stage.bytes, "B") for stage in stages))
    made.add_row("gzipped", *(si(stage.gzip_bytes, "B") for stage in stages))
    made.add_row("MACs", *(si(stage.macs) for stage in stages))
    made.add_row("latency of one sample", *(milliseconds(stage.latency_ms) for stage in stages))
    console.print(made)
    console.print(f"{workload.name} on {device_name(device)}", markup=False, highlight=False)
