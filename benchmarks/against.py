"""A report beside an earlier measurement: which figures are worse by more than a fifth."""

from collections.abc import Mapping

from rich.table import Table

from benchmarks.history import Measurement
from benchmarks.report import Direction, Report

A_FIFTH = 0.2


def worse(report: Report, before: Mapping[str, float]) -> list[str]:
    """The figures that are worse than before by more than a fifth, of those of which it is known what is better.

    A figure that was zero or negative, such as a change in points, has no fifth: its target alone says whether it is
    good enough.
    """
    return [
        name
        for name, value in report.figures.items()
        if (better := report.direction(name)) and before.get(name, 0) > 0 and _worse(value, before[name], better)
    ]


def _worse(now: float, before: float, better: Direction) -> bool:
    return now > before * (1 + A_FIFTH) if better == "less" else now < before * (1 - A_FIFTH)


def columns(report: Report, before: Measurement) -> Table:
    """Both measurements side by side."""
    slower = set(worse(report, before.figures))
    table = Table("figure", f"{before.commit}, {before.day}", "now", "better", "")
    for name, value in report.figures.items():
        old = before.figures.get(name)
        table.add_row(
            name,
            "" if old is None else f"{old:.4g}",
            f"{value:.4g}",
            report.direction(name) or "",
            "WORSE" if name in slower else "",
        )
    return table
