"""`python -m benchmarks NAME`: measure, print a table, and say which targets are met; exit code 1 if one is not.

`python -m benchmarks page` writes docs/measured.md and docs/reference/networks.md from what was recorded.
"""

import argparse
import sys

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks import history
from benchmarks.against import columns, worse
from benchmarks.catalog import BENCHMARKS
from benchmarks.history import Measurement
from benchmarks.measured_page import PAGE, measured_page
from benchmarks.networks_page import NETWORKS_PAGE, networks_page
from benchmarks.report import Report
from pruning.errors import PruningError


def main(arguments: list[str] | None = None) -> int:
    """0 if all is well, 1 if a target is missed or a figure is a fifth worse, 2 if it cannot be measured."""
    options = _options(arguments)
    try:
        if options.name == "page":
            _write_pages()
            return 0
        return _measure(options.name, options.json, options.record, options.against, options.kills)
    except PruningError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _write_pages() -> None:
    for page, text in ((PAGE, measured_page()), (NETWORKS_PAGE, networks_page())):
        page.write_text(text, encoding="utf-8")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=[*BENCHMARKS, "page"], metavar="NAME", help=", ".join([*BENCHMARKS, "page"]))
    parser.add_argument("--json", action="store_true", help="the last line of stdout is one JSON object")
    parser.add_argument("--record", action="store_true", help="add the figures to benchmarks/history")
    parser.add_argument(
        "--against", metavar="REV", help="beside what was recorded at this revision or before it; exit 1 if worse"
    )
    parser.add_argument("--kills", type=int, metavar="N", help="of `siege`: how many; its faults in proportion")
    options = parser.parse_args(arguments)
    if options.kills is not None and options.name != "siege":
        parser.error("--kills is for siege")
    return options


def _measure(name: str, as_json: bool, record: bool, against: str | None, kills: int | None) -> int:
    # what can be refused is refused before minutes of measuring
    before = history.measured_at(name, against) if against else None
    commit = history.committed_head() if record else ""
    measure = BENCHMARKS[name].load()
    report = measure() if kills is None else measure(kills)
    measured = history.measurement_of(report, commit)
    console = Console(stderr=as_json)
    for table in tables(name, measured):
        console.print(table)
    ended_well = report.met
    if before is not None:
        ended_well = _compare(report, before, measured.machine, console) and ended_well
    if record:
        history.append(name, measured)
        _write_pages()
    if as_json:
        print(msgspec.json.encode({"name": name, "met": report.met, **msgspec.to_builtins(measured)}).decode())
    return 0 if ended_well else 1


def _compare(report: Report, before: Measurement, machine: str, console: Console) -> bool:
    """Print both columns; whether no figure is a fifth worse on the same machine."""
    console.print(columns(report, before))
    if before.machine != machine:
        console.print(f"measured on another machine ({before.machine}): nothing is called worse than before")
        return True
    return not worse(report, before.figures)


def tables(name: str, measured: Measurement) -> list[Table]:
    """The rows of the measurement, if it has any, and its figures with their targets."""
    made: list[Table] = []
    if measured.rows:
        rows = Table(*measured.rows[0])
        for row in measured.rows:
            rows.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
        made.append(rows)
    figures = Table("figure", "value", "target", "met", title=f"{name}: {measured.machine}")
    for figure, value in measured.figures.items():
        target = measured.targets.get(figure)
        met = "" if target is None else "yes" if target.met(value) else "NO"
        figures.add_row(figure, f"{value:.4g}", str(target or ""), met)
    return [*made, figures]


if __name__ == "__main__":
    sys.exit(main())
