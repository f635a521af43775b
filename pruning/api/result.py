"""What pruning.prune gives back, and what it has written: values that show themselves."""

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from pruning.api.extras import extra_packages
from pruning.api.progress import last_value
from pruning.events import AmountFound, Event, Stage, Verified, Warned
from pruning.metric import ACCURACY, Metric
from pruning.model.module_sizes import ModuleSizes
from pruning.model.units import Keep
from pruning.recipe.recipe import Recipe
from pruning.reporting.formatting import duration, score_text
from pruning.reporting.run_summary import amount_found, curve, share_of_all, stage_rows, stages_of, values_of
from pruning.run.engine import PruneResult
from pruning.workload import Workload, metric_of

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


@dataclass(frozen=True, eq=False, repr=False)
class Saved:
    """Files that were written, and whether a fresh process scored them as the network in memory.

    Attributes:
        files: Kind (safetensors, pt, recipe, report; narrow_layers where the network needs it) -> path.
        stages: Stage (dense, pruned, tuned, exported) -> what was measured of it.
        verified: Scores of the network and of the files, None where the files could not be scored.
        notes: What a person should know, one sentence each.
        metric: What the scores are.
    """

    files: Mapping[str, str]
    stages: Mapping[str, Stage]
    verified: Verified | None
    notes: tuple[str, ...]
    metric: Metric = ACCURACY

    def __repr__(self) -> str:
        names = ", ".join(Path(path).name for path in self.files.values())
        folder = Path(next(iter(self.files.values()))).parent
        return "\n".join([f"Saved in {folder}: {names}", self._verdict(), *self.notes])

    def _verdict(self) -> str:
        if self.verified is None:
            return "Not verified: the files could not be scored again."
        scored = score_text(self.verified.reloaded_score, self.metric)
        if not self.verified.same:
            return f"Not verified: loaded in a fresh process the files score {scored} on the test split."
        return (
            f"Verified: loaded in a fresh process, model.safetensors and model.pt score {scored} on the test split and "
            "hold the values of the network in memory."
        )


@dataclass(frozen=True, eq=False, repr=False)
class PruningResult:
    """A pruned and fine-tuned model, with what was measured on the way.

    Attributes:
        model: The network in eval mode, smaller where units were removed; else its pruned weights are zero.
        recipe: Every choice, as it was carried out; an automatic amount as it was asked for, see `amount_found`.
        keep: Unit group -> bool [units], True where the unit stayed.
        stages: Stage (dense, pruned, tuned) -> its scores and its costs.
        events: All that happened, in its order.
        stopped: Whether an interrupt ended the run early.
        seconds: How long it took.
        sizes: What the dense model has to be told, besides tensors, to become this one; its files say it too.
        workload: The model as it was, with its data and task.
        device: Where it was computed.
    """

    model: nn.Module
    recipe: Recipe
    keep: Keep
    stages: Mapping[str, Stage]
    events: tuple[Event, ...]
    stopped: bool
    seconds: float
    sizes: ModuleSizes
    workload: Workload
    device: torch.device

    @property
    def metric(self) -> Metric:
        """What the scores are."""
        return metric_of(self.workload.task)

    @property
    def amount_found(self) -> AmountFound | None:
        """What the search found for an automatic amount, such as the share of each layer; None where there was none."""
        return amount_found(self.events)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know, one sentence each."""
        return tuple(event.sentence for event in self.events if isinstance(event, Warned))

    def table(self) -> "pd.DataFrame":
        """The stages in numbers.

        Returns:
            A row for each stage (dense, pruned, tuned) and a column for each measure: scores (accuracies in [0, 1],
            others in their own unit), counts, `bytes` of the .safetensors file, `macs` for one sample, `latency_ms` of
            one sample on one core.
        """
        with extra_packages():
            import pandas as pd

        fields = ("parameters", "nonzero", "macs", "bytes", "gzip_bytes", "latency_ms")
        rows = {
            name: {"test_score": stage.score, "validation_score": stage.validation}
            | {field: getattr(stage, field) for field in fields}
            for name, stage in self.stages.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("stage")

    def figure(self) -> "go.Figure":
        """Validation score, sparsity and training loss over the steps of the run, as in the report."""
        with extra_packages():
            from pruning.reporting.plots_run import curve_figure

        return curve_figure(curve(self.events))

    def save(self, folder: str | Path) -> Saved:
        """Write the network, the recipe and a report, and prove that the files score what the network scores.

        A fresh Python process loads model.safetensors and model.pt and scores both splits again; that takes some
        seconds. What is not the same to the digit is not called verified: the result and a warning say so.

        Args:
            folder: Where to write; it is made if it is not there.

        Returns:
            The files, and what was verified.

        Raises:
            ExportError: The folder cannot be written to.
        """
        from pruning.exporters import require_writable
        from pruning.run.experiment import export_verified

        out = Path(folder).expanduser().resolve()
        require_writable(out)
        log = list(self.events)
        pruned = PruneResult(self.model, self.keep, self.stages, self.stopped, self.sizes)
        begun = time.monotonic() - self.seconds
        writing = export_verified(self.workload, self.recipe, pruned, self.device, out, self.workload, log, begun)
        with extra_packages():  # the report is drawn
            files, verified = last_value(writing)
        notes = tuple(event.sentence for event in log[len(self.events) :] if isinstance(event, Warned))
        for sentence in notes:
            warnings.warn(sentence, stacklevel=2)
        return Saved(dict(files), stages_of(log), verified, notes, self.metric)

    def __repr__(self) -> str:
        names = list(self.stages)
        rows = [["", *names]] + [
            [row.label, *(cell.text for cell in row.cells)] for row in stage_rows(self.stages, self.metric)
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(names) + 1)]
        lines = [
            "  ".join(
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        return "\n".join([self._headline(), *lines, *self.notes])

    def _repr_html_(self) -> str:
        from html import escape

        with extra_packages():
            from pruning.reporting.pictures import curve_html, stages_html

        table = stages_html(self.stages, self.metric)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"<p>{escape(self._headline())}</p>{table}{curve_html(curve(self.events))}{notes}"

    def _headline(self) -> str:
        units = sum(len(stays) for stays in self.keep.values())
        pruned = sum(int((~stays).sum()) for stays in self.keep.values())
        cut = f"{pruned} of {units} {self.recipe.granularity.unit} pruned{share_of_all(values_of(self.events))}"
        words = f"{cut} in {duration(self.seconds)}"
        return words + (", stopped early" if self.stopped else "")
