"""docs/measured.md: the last measurement of every benchmark on each machine, from the history alone."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.catalog import BENCHMARKS, Benchmark
from benchmarks.history import HISTORY, ROOT, Measurement, read

DOCS = ROOT / "docs"
PAGE = DOCS / "measured.md"
HEAD = """# Measured

Every figure on this page was measured by a benchmark of this repository and lies in `benchmarks/history`.
`python -m benchmarks NAME --record` measures again, adds a line there and writes this page anew;
`python -m benchmarks NAME --against REV` compares with what was measured before. Do not edit this page by hand.
"""


def measured_page(folder: Path = HISTORY) -> str:
    """The page, as Markdown."""
    sections = [
        "\n".join([f"## {name}\n", f"`python -m benchmarks {name}`. {benchmark.about}\n", *_sections(benchmark, last)])
        for name, benchmark in BENCHMARKS.items()
        if (last := _last_of_each_machine(read(name, folder)))
    ]
    return "\n".join([HEAD, *sections])


def _sections(benchmark: Benchmark, last: list[Measurement]) -> list[str]:
    """A part for each machine; rows that have a page of their own are only pointed at."""
    if not benchmark.rows:
        return [_shown(measurement) for measurement in last]
    pointer = f"[Network by network]({benchmark.rows}).\n"
    return [pointer, *(_shown(replace(measurement, rows=())) for measurement in last)]


def _last_of_each_machine(measurements: Iterable[Measurement]) -> list[Measurement]:
    return list({measurement.machine: measurement for measurement in measurements}.values())


def _shown(measurement: Measurement) -> str:
    note = f" {measurement.note}" if measurement.note else ""
    about = f"{measurement.machine}; commit `{measurement.commit}`, {measurement.day}.{note}\n"
    parts = [about]
    if measurement.rows:
        parts += [*table([list(measurement.rows[0]), *(cells(row.values()) for row in measurement.rows)]), ""]
    if measurement.figures:
        parts += [*table([["figure", "value", "target", "met"], *_figures(measurement)]), ""]
    return "\n".join(parts)


def _figures(measurement: Measurement) -> Iterator[list[str]]:
    for name, value in measurement.figures.items():
        target = measurement.targets.get(name)
        met = "" if target is None else "yes" if target.met(value) else "**no**"
        yield [*cells([name, value]), str(target or ""), met]


def cells(values: Iterable[str | float]) -> list[str]:
    """Values as they stand in a table of Markdown."""
    return [value.replace("|", "\\|") if isinstance(value, str) else number(value) for value in values]


def number(value: float) -> str:
    """Four digits, and never an exponent for what is counted: 19 460 and 0.00000048 read as 19460 and 4.8e-07."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def table(rows: list[list[str]]) -> list[str]:
    """Lines of Markdown; the first row is the head."""
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return [head, "|---" * len(rows[0]) + "|", *body]
