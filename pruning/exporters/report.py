"""The report of a run: one HTML page. The template is `report.html.jinja`; what it shows is gathered here."""

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from pruning.events import Event, Finished, Masked, Started, SurgeryChecked, Verified, Warned
from pruning.exporters.exporter import Record
from pruning.exporters.recipe_json import RecipeJson
from pruning.exporters.snippet import loading_snippet
from pruning.model.preparation import plain_copy
from pruning.recipe.catalog import kind_of
from pruning.recipe.recipe import Recipe, to_dict
from pruning.reporting import formatting as numbers
from pruning.reporting import run_summary
from pruning.reporting.palette import DARK, LIGHT, PAPER, STAGES, css_variables
from pruning.reporting.recovery import recovery, recovery_rows
from pruning.workload import metric_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

TEMPLATE = Path(__file__).with_name("report.html.jinja")
PACKAGES = ("torch", "captum", "safetensors", "numpy")
WORST_CLASSES = 5
NEEDED = ("plotly", "jinja2")
"""Packages that only the report needs. They may be missing, and are imported when a report is written."""


class Report:
    """One HTML page about a run. Styles, figures and Plotly are in the file, so that it opens without network."""

    file: ClassVar[str] = "report.html"

    def content(self, record: Record) -> bytes:
        import jinja2

        environment = jinja2.Environment(
            autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        metric = metric_of(record.workload.task)
        environment.filters.update(
            percent=numbers.percent,
            count=numbers.count,
            score=partial(numbers.score_text, metric=metric),
            change=partial(numbers.change_text, metric=metric),
        )
        page = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
        return page.render(contents(record)).encode()


def missing_packages() -> list[str]:
    """Packages that the report needs and that are not installed."""
    return [name for name in NEEDED if not _version(name)]


def contents(record: Record) -> dict[str, Any]:
    """The template's variables: name -> value."""
    from plotly.offline import get_plotlyjs

    from pruning.reporting.plots_recovery import recovery_figure
    from pruning.reporting.plots_run import curve_figure, size_figure

    events = run_summary.latest(record.events)
    stages = run_summary.stages_of(events)
    started = next((event for event in events if isinstance(event, Started)), None)
    last = next((name for name in ("exported", "tuned", "repaired", "pruned") if name in stages), "dense")
    names = started.classes if started else ()
    before, built, metric = stages.get("dense"), record.workload.build(), metric_of(record.workload.task)
    surgery = _newest(events, SurgeryChecked)
    curve = run_summary.curve(events)
    ladder = recovery(stages, names, metric)
    # the exported file is the tuned network: its point would lie on that of the stage tuned and hide it
    sizes = [point for point in run_summary.size_points(stages) if point.stage != "exported"]
    return {
        "run": record.recipe.name,
        "workload": record.workload,
        "device": record.device,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "removable": record.recipe.granularity.removable,
        "units": kind_of(record.recipe.granularity),
        "rounds": len(_progress(events)),
        "epochs": record.recipe.tuning.epochs,
        "choices": choices(record.recipe, _progress(events), surgery.zeroed if surgery else "", _found(record)),
        "stages": stages,
        "last": stages.get(last),
        "columns": [name for name in run_summary.STAGES if name in stages],
        "styles": STAGES,
        "light": css_variables(LIGHT),
        "dark": css_variables(DARK),
        "paper": css_variables(PAPER),
        "rows": run_summary.stage_rows(stages, metric),
        "metric": metric,
        "name_of_score": numbers.capitalised(metric.name),
        "tuned_name": last,
        "classes": run_summary.worst_classes(before, stages[last], names, WORST_CLASSES, metric) if before else [],
        "has_classes": bool(names),
        "ladder": ladder,
        "ladder_rows": recovery_rows(ladder),
        "ladder_plot": _plot(recovery_figure(ladder), "recovery"),
        "masked": _newest(events, Masked),
        "of_all": run_summary.share_of_all(run_summary.values_of(events)),
        "surgery": surgery,
        "verified": _newest(events, Verified),
        "finished": _newest(events, Finished),
        "warnings": [event.sentence for event in record.events if isinstance(event, Warned)],
        "curve": curve,
        "curve_plot": _plot(curve_figure(curve), "curve"),
        "sizes_plot": _plot(size_figure(sizes, metric), "sizes"),
        "plotly": get_plotlyjs(),
        "snippet": loading_snippet(record, built),
        "narrow": sorted(set(record.sizes.classes.values())),
        "tensors": _tensors(plain_copy(built), record.model),
        "recipe": RecipeJson().content(record).decode(),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    """Name -> version of Python and of the packages that compute, without those that are not installed."""
    found = {name: text for name in PACKAGES if (text := _version(name))}
    return {"Python": platform.python_version(), **found}


def _version(package: str) -> str:
    """The installed version; empty where the package is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def choices(recipe: Recipe, progress: Sequence[float], zeroed: str = "", found: str = "") -> list[tuple[str, str, str]]:
    """A row for each field of the recipe: its name, what was chosen with its values, and a note.

    `progress` is, for each round, the share of the amount that was pruned after it; `zeroed` a sentence about units
    that could only be set to zero; `found` says what a search found for an automatic amount.
    """
    criterion, plain = recipe.criterion, to_dict(recipe)
    after = ", ".join(numbers.percent(share, 0) for share in progress)
    removable = recipe.granularity.removable
    notes = {
        "criterion": f"{criterion.formula} ({criterion.source}); the lowest are pruned first",
        "granularity": "pruned units are "
        + ("removed: the network is smaller" if removable else "zero: the tensors keep their size")
        + (f"; {zeroed}" if zeroed else ""),
        "scope": "layer, in the cut that the search found" if found else "",
        "amount": f"found: {found}" if found else "",
        "schedule": f"share of the amount after each round: {after}" if after else "",
        "tuning": "after each round" if recipe.tuning.epochs else "none: the network is left as cut",
    }
    fields = [field for field in plain if field not in ("version", "workload")]
    return [(field, in_words(plain[field]) or "nothing", notes.get(field, "")) for field in fields]


def _found(record: Record) -> str:
    found = run_summary.amount_found(record.events)
    return "" if found is None else run_summary.amount_words(found, metric_of(record.workload.task))


def in_words(value: Any) -> str:
    """A JSON value of a recipe on one line: `polynomial, rounds 5, power 3.0`."""
    if isinstance(value, Mapping):
        fields: Mapping[str, Any] = value  # type: ignore[assignment]
        kind = [str(fields["kind"])] if "kind" in fields else []
        others = [f"{name} {in_words(v)}" for name, v in fields.items() if name != "kind" and v is not None]
        return ", ".join(kind + others)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)  # type: ignore[arg-type]


def _progress(events: list[Event]) -> list[float]:
    """For each round, the share of the amount that was pruned after it. A round that was taken back does not count."""
    after = {event.round: event.progress for event in events if isinstance(event, Masked)}
    last = _newest(events, Masked)
    return [share for number, share in after.items() if number <= last.round] if last and last.pruned else []


def _newest(events: list[Event], kind: type[Any]) -> Any:
    """The last event of this class, None if there is none."""
    return next((event for event in reversed(events) if isinstance(event, kind)), None)


def _tensors(dense: nn.Module, model: nn.Module) -> list[tuple[str, str, str]]:
    """Of every tensor its name, its shape in the file, and its shape in the dense network where that differs."""
    before = {name: _shape(tensor) for name, tensor in dense.state_dict().items()}
    after = {name: _shape(tensor) for name, tensor in model.state_dict().items()}
    return [
        (name, shape, before.get(name, shape) if before.get(name) != shape else "") for name, shape in after.items()
    ]


def _shape(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "single number"


def _plot(figure: "go.Figure", name: str) -> str:
    from plotly.io import to_html

    settings = {"displayModeBar": False, "responsive": True}
    return to_html(figure, include_plotlyjs=False, full_html=False, div_id=f"plot-{name}", config=settings)
