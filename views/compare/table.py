"""The comparison of criteria as a table: what scoring costs, what accuracy the cut leaves."""

from html import escape

from pruning.criteria import CRITERIA
from pruning.interactive.responses import ModelView
from pruning.metric import ACCURACY, Metric
from pruning.pipeline.comparison import Compared
from pruning.reporting.formatting import change_text, count, duration, score_text, width_text
from views.shared.language import _

CSS = """<style>
.compared { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
.compared th, .compared td { padding: 4px 9px; text-align: right; border-bottom: 1px solid #8884; white-space: nowrap; }
.compared th:first-child, .compared td:first-child, .compared td.words { text-align: left; }
.compared td.words { white-space: normal; opacity: .8; }
.compared .sure { font-weight: 600; }
.compared .change, .compared .how { font-size: 12px; opacity: .8; }
.scroll { overflow-x: auto; }
.st-key-comparison_box [data-stale="true"] { opacity: 1 !important; }  /* what is shown stays true while more is measured */
</style>"""


def table_html(model: ModelView, rows: list[Compared]) -> str:
    """A row for each criterion: score, change, seconds and samples through the network."""
    heads = (
        _("criterion"), _("pruned, of units"), _head(model.metric), _("change"), _("scored in"), _("forward"), _("backward"),
    )  # fmt: skip
    head = "".join(f"<th scope='col'>{escape(text)}</th>" for text in heads)
    body = "".join(_row(row, model.metric) for row in rows)
    dense = _(
        "dense: {score} on {samples} validation samples. forward and backward count samples through the network while scoring."
    )
    few = (
        _("Where fewer units are scored than by others, some layers stay whole: compare accuracies with care.")
        if model.metric == ACCURACY
        else _("Where fewer units are scored than by others, some layers stay whole: compare with care.")
    )
    uneven = len({row.units for row in rows if row.units}) > 1
    words = escape(
        (few + " " if uneven else "")
        + dense.format(score=score_text(model.score, model.metric), samples=count(model.samples))
    )
    return f"<div class='scroll'><table class='compared'><tr>{head}</tr>{body}</table><p class='how'>{words}</p></div>"


def _head(metric: Metric) -> str:
    words = _("{metric} (validation)") if metric.better == "higher" else _("{metric} (validation), lower is better")
    return words.format(metric=_(metric.name))


def _row(row: Compared, metric: Metric) -> str:
    name = f"<th scope='row' title='{escape(CRITERIA[row.kind].formula, quote=True)}' style='text-align:left'>{escape(row.kind.replace('_', ' '))}</th>"
    if row.problem:
        return f"<tr>{name}<td class='words' colspan='6'>{escape(row.problem)}</td></tr>"
    pruned = _("{pruned} of {units}").format(pruned=count(row.pruned), units=count(row.units)) if row.units else ""
    cells = [pruned, *_score(row, metric), *_effort(row)]
    return f"<tr>{name}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _score(row: Compared, metric: Metric) -> tuple[str, str]:
    if row.estimate is None:
        return f"<span class='how'>{escape(_('evaluating') if row.effort else _('scoring units'))}</span>", ""
    seen = row.estimate
    change = escape(change_text(seen.change, metric, half_width=seen.half_width))
    if seen.measured:
        text = score_text(seen.score, metric)
        return f"<span class='sure'>{text}</span> <span class='how'>{escape(_('measured'))}</span>", change
    words = _("± {width}, estimated from {n}").format(width=width_text(seen.half_width, metric), n=count(seen.samples))
    return f"{score_text(seen.score, metric, 1)} <span class='how'>{escape(words)}</span>", change


def _effort(row: Compared) -> tuple[str, str, str]:
    if row.effort is None:
        return "", "", ""
    seconds = row.effort.seconds
    spent = f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s" if seconds < 60 else duration(seconds)
    return spent, count(row.effort.forward), count(row.effort.backward)
