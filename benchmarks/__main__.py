"""`python -m benchmarks NAME [--json]`: measure, print a table, say which targets are met; exit 1 if one is not."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import (
    calibration,
    cluster,
    criteria,
    durability,
    healing,
    live,
    preview,
    selection,
    sensitivity,
    start,
    tuning,
)
from benchmarks.report import Report

BENCHMARKS: dict[str, Callable[[], Report]] = {
    "calibration": calibration.measure,
    "criteria": criteria.measure,
    "durability": durability.measure,
    "healing": healing.measure,
    "live": live.measure,
    "preview": preview.measure,
    "ray": cluster.measure,
    "selection": selection.measure,
    "sensitivity": sensitivity.measure,
    "start": start.measure,
    "tuning": tuning.measure,
}


def machine() -> str:
    """Cores, processor and torch: what a figure depends on."""
    device = torch.accelerator.current_accelerator(check_available=True)
    chip = torch.cuda.get_device_name() if device is not None and device.type == "cuda" else "no GPU"
    return f"{os.cpu_count()} cores {platform.machine()}, {chip}, torch {torch.__version__}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--json", action="store_true", help="the last line of stdout is one JSON object")
    options = parser.parse_args()
    report = BENCHMARKS[options.name]()
    console = Console(stderr=options.json)
    if report.rows:
        rows = Table(*report.rows[0])
        for row in report.rows:
            rows.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
        console.print(rows)
    table = Table("figure", "value", "target", "met", title=f"{options.name}: {machine()}")
    for name, value in report.figures.items():
        target = report.targets.get(name)
        table.add_row(
            name, f"{value:.4g}", str(target) if target else "", "" if not target else _met(target.met(value))
        )
    console.print(table)
    if options.json:
        targets = {
            name: {key: bound for key, bound in asdict(target).items() if bound is not None}
            | {"met": target.met(report.figures[name])}
            for name, target in report.targets.items()
        }
        rows = {"rows": report.rows} if report.rows else {}
        about = {"name": options.name, "machine": machine()}
        print(json.dumps({**about, "figures": report.figures, "targets": targets, **rows}))
    return 0 if all(target.met(report.figures[name]) for name, target in report.targets.items()) else 1


def _met(met: bool) -> str:
    return "yes" if met else "NO"


if __name__ == "__main__":
    sys.exit(main())
