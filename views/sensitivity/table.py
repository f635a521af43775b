"""The sensitivity map as a table: a row for each layer, a column for each level, the numbers in shaded cells."""

from collections.abc import Mapping
from html import escape

from pruning.layer_sensitivity.result import Sensitivity, SensitivityCell, SensitivityRow
from pruning.metric import Metric
from pruning.reporting import palette
from pruning.reporting.formatting import THIN, bare_change, bare_width, changes_of, count, percent, unit_of
from pruning.reporting.plots_sensitivity import shade, worst_drop
from views.shared.language import _

# A header that stays in view needs the page's own grounds, which views/settings.toml gives and no variable holds.
# Hatching is lighter than a light ground and darker than a dark one: what is written on it only gains contrast.
_CSS = """<style>
:root { PALETTE }
[class*=st-key-sensitivity_map] { overflow: auto; max-height: 72vh; scrollbar-gutter: stable; }
[class*=st-key-sensitivity_map]:focus-visible { outline: 2px solid currentColor; }
[class*=st-key-sensitivity_map] [data-testid="stHtml"] { overflow: visible; width: max-content; min-width: 100%; }
.st-key-sensitivity_box [data-stale="true"] { opacity: 1 !important; }  /* what is shown stays true while more is measured */
.sensed { border-collapse: separate; border-spacing: 2px; font-variant-numeric: tabular-nums; font-size: 13px; min-width: 100%; }
.sensed.old { opacity: .35; }
.sensed th { font-weight: 400; padding: 2px 6px; background: light-dark(LIGHT_GROUND, DARK_GROUND); }
.sensed thead th { position: sticky; top: 0; z-index: 1; text-align: center; font-size: 12px; white-space: nowrap; }
.sensed th[scope=row] { position: sticky; left: 0; z-index: 1; text-align: left; min-width: 96px; max-width: 220px; overflow-wrap: anywhere; }
.sensed thead th:first-child { left: 0; z-index: 2; text-align: left; }
.sensed th b { font-weight: 600; }
.sensed th small, .sensed td small { display: block; font-size: 11px; line-height: 1.2; }
.sensed th small { opacity: .8; }
.sensed td { height: 38px; min-width: 54px; padding: 1px 4px; text-align: center; line-height: 1.25; border-radius: 3px; white-space: nowrap; font-weight: 300; }
.sensed td.open { font-weight: 400; }
.sensed td.sure { font-weight: 700; }
.sensed td.none { border: 1px dashed #8886; opacity: .7; }
.sensed td.on-light.open { background-image: repeating-linear-gradient(45deg, #fff8 0 2px, #fff0 2px 8px); }
.sensed td.on-dark.open { background-image: repeating-linear-gradient(45deg, #0007 0 2px, #0000 2px 8px); }
.sensed td.cut { outline: 3px solid var(--cut); outline-offset: -2px; }
.sensed-key { display: flex; flex-wrap: wrap; gap: 4px 18px; align-items: center; font-size: 12px; }
.sensed-key i { display: inline-block; width: 22px; height: 13px; border-radius: 2px; vertical-align: -2px; margin-right: 5px; background-color: MIDDLE; }
.sensed-key i.open { background-image: repeating-linear-gradient(45deg, #fffa 0 2px, #fff0 2px 8px); }
.sensed-key i.cut { outline: 3px solid var(--cut); outline-offset: -2px; }
.sensed-key .scale { display: inline-flex; border-radius: 2px; overflow: hidden; }
.sensed-key .scale span { padding: 0 7px; }
@media (max-width: 640px) { .sensed th[scope=row] { max-width: 128px; min-width: 72px; white-space: normal; } }
</style>"""
CSS = (
    _CSS.replace("PALETTE", palette.CSS)
    .replace("LIGHT_GROUND", palette.LIGHT.ground)
    .replace("DARK_GROUND", palette.DARK.ground)
    .replace("MIDDLE", shade(0.25, 1.0).ground)
)


def map_html(sensed: Sensitivity, cuts: Mapping[str, float], stale: bool = False) -> str:
    """The table. The cell at a row's largest cut is outlined; `stale` greys a map that is not the controls'."""
    heads = "".join(f"<th scope='col'>{percent(level, 0)}</th>" for level in sensed.levels)
    worst = worst_drop(sensed)
    body = "".join(_row(row, sensed, worst, cuts.get(row.name, 0.0)) for row in sensed.rows)
    corner = escape(_("layer, alone"))
    words = _("Change of {changes}, by layer and by the share of it that is pruned")
    about = escape(words.format(changes=changes_of(sensed.metric)), quote=True)
    return (
        f"<table class='sensed{' old' if stale else ''}' aria-label='{about}'>"
        f"<thead><tr><th scope='col'>{corner}</th>{heads}</tr></thead><tbody>{body}</tbody></table>"
    )


def key_html(sensed: Sensitivity) -> str:
    """What shades, weights, hatching and outline mean."""
    metric, worst = sensed.metric, worst_drop(sensed)
    drops = [drop * (1.0 if metric.percent else worst) for drop in (0.0, 0.01, 0.05, 0.2, 0.5)]
    scale = "".join(
        f"<span style='background:{made.ground};color:{made.ink}'>{bare_change(_worse(drop, metric), metric, 0)}</span>"
        for drop in drops
        if drop < worst
        for made in (shade(drop, worst),)
    )
    small = metric.tolerance(sensed.dense)
    change = bare_change(_worse(1.2 * small, metric), metric)
    unit = _("points") if metric.percent else changes_of(metric)
    parts = (
        f"<span><span class='scale'>{scale}</span> {escape(unit)}</span>",
        f"<span><i class='open'></i>{escape(_('still estimating'))}</span>",
        f"<span><span style='font-weight:300'>{change} ± {bare_width(0.8 * small, metric)}</span> {escape(_interval(metric))}</span>",
        f"<span><b>{change}</b> {escape(_('measured on all samples'))}</span>",
        f"<span><i class='cut'></i>{escape(_('largest cut within the limit below'))}</span>",
    )
    return f"<div class='sensed-key'>{''.join(parts)}</div>"


def _worse(drop: float, metric: Metric) -> float:
    """The change of a score that is worse by so much."""
    return -drop if metric.better == "higher" else drop


def _interval(metric: Metric) -> str:
    if metric.bounded:
        return _("estimated, 95 % interval")
    return _("estimated, 95 % interval (asymptotic: {metric} has no bounds)").format(metric=metric.name)


def members_of(row: SensitivityRow) -> str:
    """The other layers that are pruned with this row, or nothing."""
    others = [name for name in row.members if name != row.name]
    return _("with {layers}").format(layers=", ".join(others)) if others else ""


def _row(row: SensitivityRow, sensed: Sensitivity, worst: float, cut: float) -> str:
    levels, metric = sensed.levels, sensed.metric
    cells = {cell.level: cell for cell in row.cells}
    notes = [members_of(row), _("full passes") if row.full_passes else ""]
    small = "".join(f"<small>{escape(note)}</small>" for note in notes if note)
    name = f"<th scope='row' title='{escape(row.full_passes, quote=True)}'><b>{escape(row.name)}</b>{small}</th>"
    return f"<tr>{name}{''.join(_cell(row.name, level, cells.get(level), worst, metric, level == cut) for level in levels)}</tr>"


def _cell(layer: str, level: float, cell: SensitivityCell | None, worst: float, metric: Metric, is_cut: bool) -> str:
    where = _("{layer} at {level}").format(layer=layer, level=percent(level, 0))
    if cell is None or not cell.estimate.samples:
        return f"<td class='none' title='{escape(where + ': ' + _('not evaluated yet'), quote=True)}'>…</td>"
    seen = cell.estimate
    made = shade(metric.drop(seen.change), worst)
    kinds = ["on-light" if made.light else "on-dark", "sure" if seen.measured else "", "" if cell.done else "open"]
    width = "&nbsp;" if seen.measured else f"± {bare_width(seen.half_width, metric)}"
    change = bare_change(seen.change, metric, half_width=seen.half_width)
    return (
        f"<td class='{' '.join(filter(None, [*kinds, 'cut' if is_cut else '']))}' title='{escape(_about(where, cell, metric), quote=True)}' "
        f"style='background-color:{made.ground};color:{made.ink}'>{change}<small>{width}</small></td>"
    )


def _about(where: str, cell: SensitivityCell, metric: Metric) -> str:
    """The cell in words."""
    seen, pruned = cell.estimate, count(cell.pruned)
    change = f"{bare_change(seen.change, metric, 2, seen.half_width)}{THIN}{_(unit_of(metric))}"
    if seen.measured:
        words = _("{where}: {change}, measured on all {n} samples; {pruned} of {units} units are pruned")
        return words.format(where=where, change=change, n=count(seen.total), pruned=pruned, units=count(cell.units))
    words = _(
        "{where}: {change} ± {width}, estimated from {n} of {total} samples; {pruned} of {units} units are pruned"
    )
    return words.format(
        where=where, change=change, width=bare_width(seen.half_width, metric, 2), n=count(seen.samples),
        total=count(seen.total), pruned=pruned, units=count(cell.units),
    )  # fmt: skip
