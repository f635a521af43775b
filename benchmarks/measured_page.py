"""docs/measured.md: the last measurement of every benchmark on each machine, from the history alone."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.catalog import BENCHMARKS
from benchmarks.history import HISTORY, ROOT, Measurement, read

PAGE = ROOT / "docs" / "measured.md"
HEAD = """# Measured

Every figure on this page was measured by a benchmark of this repository and lies in `benchmarks/history`.
`python -m benchmarks NAME --record` measures again, adds a line there and writes this page anew;
`python -m benchmarks NAME --against REV` compares with what was measured before. Do not edit this page by hand.
"""


def measured_page(folder: Path = HISTORY) -> str:
    """The page, as Markdown."""
    sections = [
        "\n".join([f"## {name}\n", f"`python -m benchmarks {name}`. {benchmark.about}\n", *map(_shown, last)])
        for name, benchmark in BENCHMARKS.items()
        if (last := _last_of_each_machine(read(name, folder)))
    ]
    return "\n".join([HEAD, *sections])


def _last_of_each_machine(measurements: Iterable[Measurement]) -> list[Measurement]:
    return list({measurement.machine: measurement for measurement in measurements}.values())


def _shown(measurement: Measurement) -> str:
    note = f" {measurement.note}" if measurement.note else ""
    about = f"{measurement.machine}; commit `{measurement.commit}`, {measurement.day}.{note}\n"
    parts = [about]
    if measurement.rows:
        parts += [*_table([list(measurement.rows[0]), *(_cells(row.values()) for row in measurement.rows)]), ""]
    if measurement.figures:
        parts += [*_table([["figure", "value", "target", "met"], *_figures(measurement)]), ""]
    return "\n".join(parts)


def _figures(measurement: Measurement) -> Iterator[list[str]]:
    for name, value in measurement.figures.items():
        target = measurement.targets.get(name)
        met = "" if target is None else "yes" if target.met(value) else "**no**"
        yield [*_cells([name, value]), str(target or ""), met]


def _cells(values: Iterable[str | float]) -> list[str]:
    return [value.replace("|", "\\|") if isinstance(value, str) else number(value) for value in values]


def number(value: float) -> str:
    """Four digits, and never an exponent for what is counted: 19 460 and 0.00000048 read as 19460 and 4.8e-07."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _table(rows: list[list[str]]) -> list[str]:
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return [head, "|---" * len(rows[0]) + "|", *body]
