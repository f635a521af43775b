"""The table of a sweep as files: CSV, Parquet, LaTeX."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from pruning.errors import ExportError
from pruning.reporting.formatting import MINUS, THIN
from pruning.reporting.run_history import settings
from pruning.reporting.sweep_table import MEASURES, Mean, Measure, SweepTable, Trial, heads, rows, seeds_of


def records(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """A plain dict for each run: what it is, its settings by their paths, its numbers in their own units."""
    every = [setting for setting in settings([trial.recipe for trial in trials]) if setting.name != "version"]
    return [
        {
            "run": trial.run,
            "role": trial.role,
            **{setting.name: setting.values[place] for setting in every},
            "metric": trial.metric.name,
            "dense_score": trial.dense.score,
            "dense_parameters": trial.dense.parameters,
            **{measure: of(trial) for measure, of in MEASURES.items()},
        }
        for place, trial in enumerate(trials)
    ]


def means(table: SweepTable) -> list[dict[str, Any]]:
    """A plain dict for each group: mean and half-width of every measure; None where there is no interval."""
    return [
        {
            "role": group.role,
            **dict(zip(table.columns, group.settings, strict=True)),
            "seeds": len(group.trials),
            "metric": group.metric.name,
            **{key: value for measure in MEASURES for key, value in _mean(measure, group.mean(measure)).items()},
        }
        for group in table.groups
    ]


def _mean(measure: Measure, found: Mean | None) -> dict[str, float | None]:
    return {
        measure: found.value if found else None,
        f"{measure}_half_width": found.half_width if found else None,
    }


def to_csv(found: Sequence[dict[str, Any]]) -> str:
    """`records` or `means` as CSV with a head; empty cells are None. Empty without rows."""
    if not found:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()


def to_parquet(found: Sequence[dict[str, Any]]) -> bytes:
    """`records` or `means` as a Parquet file. ExportError if the packages that write it are not installed."""
    try:
        import pandas
        import pyarrow  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise ExportError(
            f"a Parquet file needs {error.name}; run pip install 'pruning-explorer[app]', or take the CSV"
        ) from error
    file = io.BytesIO()
    pandas.DataFrame.from_records(list(found)).to_parquet(file, index=False)
    return file.getvalue()


_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "×": r"$\times$", MINUS: "$-$",
    "–": "--", THIN: r"\,",
}  # fmt: skip


def to_latex(table: SweepTable) -> str:
    r"""The table for a paper: `tabular` with the rules of booktabs, to be put into a `table` of one's own.

    The document needs \usepackage{booktabs}. What all runs have in common stands in comments above.
    """
    names = heads(table)
    words = len(table.columns) + 1  # columns of words are aligned left, numbers right
    lines = [
        *(f"% {_escaped(f'{name}: {value}')}" for name, value in table.same),
        f"% {_escaped(seeds_of(table))}",
        rf"\begin{{tabular}}{{{'l' * words}{'r' * (len(names) - words)}}}",
        r"\toprule",
        _line(names),
        r"\midrule",
        *(_line(row) for row in rows(table)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in text)
