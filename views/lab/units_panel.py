"""The units of the chosen layer, ranked; attention heads layer by layer, gates by hidden unit: each in its natural picture."""

import streamlit as st

from pruning.errors import PruningError
from pruning.interactive.queries import units
from pruning.interactive.responses import CutPreview, LayerView, UnitsView
from pruning.recipe.catalog import kind_of
from pruning.recipe.recipe import Recipe
from pruning.reporting.formatting import count
from pruning.reporting.plots_run import unit_matrix_figure, units_figure
from views.shared.language import _
from views.shared.plain_text import plain
from views.shared.server import ask

GATES = {1: ("h",), 3: ("r", "z", "n"), 4: ("i", "f", "g", "o")}
IN_WEIGHTS = ("weights", "kernels", "blocks")  # the heatmap is their picture


def show(look: CutPreview, recipe: Recipe, layer: str) -> None:
    """Nothing for units that lie in the weight matrix: the heatmap shows them where they are."""
    kind = kind_of(recipe.granularity)
    rows = {view.name: view for view in look.layers if view.units}
    view = rows.get(layer) or next(iter(rows.values()), None)
    if kind in IN_WEIGHTS or view is None:
        return
    wanted = [name for name, row in rows.items() if row.row == name] if kind == "heads" else [view.row]
    try:
        found = ask(units, recipe, tuple(wanted))
    except PruningError as error:
        st.error(plain(error))
        return
    st.subheader(_title(kind, view))
    if kind == "heads":
        figure = unit_matrix_figure(*_padded(found), [_attention(one) for one in found], _("head"))
    elif found[0].scores.ndim == 2:
        one = found[0]
        gates = GATES.get(len(one.scores), tuple(map(str, range(len(one.scores)))))
        figure = unit_matrix_figure(one.scores.tolist(), one.pruned.tolist(), gates, _("hidden unit; rows are gates"))
    else:
        figure = units_figure(found[0].scores.tolist(), found[0].pruned.tolist(), found[0].names)
    pruned, every = sum(int(one.pruned.sum()) for one in found), sum(one.pruned.size for one in found)
    words = _("{pruned} of {units} units are pruned").format(pruned=count(pruned), units=count(every))
    st.plotly_chart(figure, key="units_chart", width="stretch", config={"displayModeBar": False}, alt=words)
    st.caption(words + _dead(kind_of(recipe.criterion), found))


def _title(kind: str, view: LayerView) -> str:
    if kind == "heads":
        return _("Heads of all attention layers")
    return _("Units of {layer}").format(layer=plain(view.row))


def _dead(criterion: str, found: list[UnitsView]) -> str:
    """Units that put out nothing for any sample looked at: magnitude does not see them, activity does."""
    dead = [str(unit) for one in found for unit, score in enumerate(one.scores.flatten().tolist()) if score == 0.0]
    if criterion not in ("activation", "apoz") or not dead:
        return ""
    named = ", ".join(dead[:8]) + (", …" if len(dead) > 8 else "")
    return _("; dead, put out nothing on any of the calibration samples: {n} ({units})").format(
        n=len(dead), units=named
    )


def _attention(one: UnitsView) -> str:
    """The attention layer's name: its row is named after one of its weights."""
    return one.layer.removesuffix(".in_proj_weight").removesuffix(".q_proj_weight")


def _padded(found: list[UnitsView]) -> tuple[list[list[float]], list[list[bool]]]:
    """The layers one under the other; a layer with fewer heads than another ends earlier."""
    width = max(one.scores.size for one in found)
    scores = [[*one.scores.flatten().tolist(), *[float("nan")] * (width - one.scores.size)] for one in found]
    return scores, [[*one.pruned.flatten().tolist(), *[False] * (width - one.pruned.size)] for one in found]
