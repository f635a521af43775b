"""What a sweep leaves as files: every one by its name. The command line writes them, the page offers them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pruning.metric import ACCURACY
from pruning.reporting.literature import published_beside
from pruning.reporting.sweep_exports import means, records, to_csv, to_latex, to_parquet
from pruning.reporting.sweep_figures import Format, tradeoff_picture
from pruning.reporting.sweep_table import SweepTable, Trial, sweep_table
from pruning.reporting.tradeoff import tradeoff


@dataclass(frozen=True)
class Results:
    """The finished runs of a sweep and their table."""

    trials: Sequence[Trial]
    table: SweepTable = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", sweep_table(self.trials))


def _picture(format: Format) -> Callable[[Results], bytes]:
    def made(results: Results) -> bytes:
        metric, beside = results.table.metric or ACCURACY, published_beside(results.trials)
        return tradeoff_picture(tradeoff(results.table), format, metric=metric, published=beside)

    return made


FILES: Mapping[str, Callable[[Results], bytes]] = {
    "table.csv": lambda results: to_csv(means(results.table)).encode(),
    "table.tex": lambda results: to_latex(results.table).encode(),
    "runs.csv": lambda results: to_csv(records(results.trials)).encode(),
    "runs.parquet": lambda results: to_parquet(records(results.trials)),
    "tradeoff.png": _picture("png"),
    "tradeoff.svg": _picture("svg"),
    "tradeoff.pdf": _picture("pdf"),
}
"""Name -> its content: `table` has a row for each setting, `runs` one for each run. ExportError: a package is missing.
"""
