"""The layers with their histograms and cuts, and the importance heatmap of the chosen one."""

import streamlit as st

from pruning.criteria import ANY
from pruning.errors import PruningError
from pruning.granularities import Weights
from pruning.interactive.queries import heatmap
from pruning.interactive.responses import Axis, CutPreview, Heatmap, LayerView, ModelView
from pruning.model.descriptions import LayerRow
from pruning.recipe.recipe import Recipe
from pruning.reporting.formatting import count, percent, si, significant
from pruning.reporting.run_summary import leaves_out
from pruning.selection.amounts import PerLayer, Sparsity
from views.lab import components
from views.lab.components import HeatmapData, LayerEdit, LayerRowData, LayersData, Window
from views.lab.state import lab_state
from views.shared.components import packed
from views.shared.language import _
from views.shared.plain_text import plain
from views.shared.scoring import scored
from views.shared.server import ask
from views.shared.state import shared_state


def axis() -> Axis:
    """What the histograms show; asked before the look, drawn above the layers."""
    return "sigma" if st.session_state.get("axis") == "sigma" else "score"


def show(model: ModelView, look: CutPreview, recipe: Recipe, stale: bool = False) -> None:
    """The panel. What is changed in a row is remembered by the session."""
    head, switches = st.columns([3, 2], vertical_alignment="bottom")
    head.subheader(_("Layers"))
    with switches, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        texts = {"score": _("importance"), "sigma": _("weights in σ")}
        st.segmented_control(
            _("histogram"), list(texts), key="axis", default="score", required=True, format_func=texts.__getitem__,
            label_visibility="collapsed",
            help=_("importance: one axis for all layers, what lies left of the line is pruned. weights in σ: the weight's value in standard deviations of its layer, −4 to 4."),
        )  # fmt: skip
        logy = st.checkbox(_("log y"), key="logy")
    if look.pruned != look.asked:
        st.warning(
            _("{asked} units were asked to be pruned and {pruned} are pruned: every layer keeps at least one.").format(
                asked=count(look.asked), pruned=count(look.pruned)
            )
        )
    st.caption(_pruned_words(look, recipe))
    components.layers(panel_data(model, look, logy, stale), edit, choose_heatmap)


def _pruned_words(look: CutPreview, recipe: Recipe) -> str:
    """Achieved beside asked: of few units no share is exact. And beside both what it is of the network."""
    words = _("{pruned} of {units} units are pruned: {share}").format(
        pruned=count(look.pruned), units=count(look.units), share=percent(look.pruned / look.units, 2)
    )
    asked = recipe.amount.rest if isinstance(recipe.amount, PerLayer) else recipe.amount
    if isinstance(asked, Sparsity):
        words += _(", asked for {share}").format(share=percent(asked.share))
        if isinstance(recipe.amount, PerLayer):
            free = {view.row for view in look.layers if view.units} - recipe.amount.shares.keys() - recipe.keep_whole
            words += (
                _(" of the other layers") if free else _(", but every layer has a share of its own: set them below")
            )
    if leaves_out(look.values):
        words += _("; {share} of all {total} parameters").format(
            share=percent(look.values.pruned / look.values.total), total=si(look.values.total)
        )
    return words


def panel_data(model: ModelView, look: CutPreview, logy: bool, stale: bool = False) -> LayersData:
    """What the component draws: plain values and texts."""
    table = {layer.name: layer for layer in model.layers}
    shares = shared_state().overrides
    return {
        "model": model.name,
        "logy": logy,
        "stale": stale,
        "selected": heatmap_layer(model, look),
        "heads": ["", _("histogram, pruned hatched"), _("kept"), _("sparsity"), "", "", ""],
        "texts": {
            "kept": _("kept"),
            "cut": _("cut"),
            "sparsity": _("sparsity of"),
            "lock": _("lock"),
            "lockHelp": _("Locked: this layer loses a share of its own, whatever the others do."),
            "whole": _("whole"),
            "wholeHelp": _("Leave this layer whole."),
            "heatmap": _("heatmap"),
        },
        "rows": [_row(table[view.name], view, view.row in shares) for view in look.layers],
    }


def _row(layer: LayerRow, view: LayerView, locked: bool) -> LayerRowData:
    share = view.pruned_units / view.units if view.units else 0.0
    size = "×".join(map(str, layer.shape))
    cut = next((value for value in reversed(view.cuts)), None)
    macs = [] if layer.macs is None else [_("{n} MACs").format(n=si(layer.macs))]
    return {
        "name": view.name,
        "sub": " · ".join([f"{layer.type} {size}", si(layer.parameters), *macs]),
        "why": view.why_not,
        "drawn": bool(view.kept.sum() + view.pruned.sum()),
        "follows": _follows(view),
        "kept": view.kept.tolist(),
        "pruned": view.pruned.tolist(),
        "low": view.low,
        "high": view.high,
        "cuts": list(view.cuts),
        "keptText": percent(1 - share),
        "cutText": "" if cut is None else significant(cut),
        "share": share,
        "locked": locked,
        "whole": view.whole,
    }


def _follows(view: LayerView) -> str:
    """Why the row has no controls of its own."""
    if view.row == view.name:
        return ""
    if view.of_several:
        return _("competes with the blocks of {row}: their share is set there").format(row=view.row)
    return _("is pruned together with {row}: set it there").format(row=view.row)


def edit(change: LayerEdit) -> None:
    """A row was changed: it has a sparsity of its own, or none, or is kept whole."""
    state, layer = shared_state(), str(change["layer"])
    shares = {name: share for name, share in state.overrides.items() if name != layer}
    whole = set(state.whole) - {layer}
    if change["share"] is not None:
        shares[layer] = min(max(float(change["share"]), 0.0), 1.0)
    if change["whole"]:
        whole.add(layer)
    state.overrides, state.whole = shares, tuple(sorted(whole))


def choose_heatmap(layer: str) -> None:
    state = lab_state()
    state.heatmap_layer, state.heatmap_window = layer, None


def choose_window(window: Window | None) -> None:
    lab_state().heatmap_window = window


def heatmap_layer(model: ModelView, look: CutPreview) -> str:
    """The layer whose heatmap is shown: the chosen one, else the first with units that may be pruned, else the first.

    Empty where nothing of the network can be pruned.
    """
    units = {view.name for view in look.layers if view.units}
    # what stays unless it is asked for has units where it was
    matrices = [row.name for row in model.layers if len(row.shape) > 1 and (row.name in units or not row.why_not)]
    chosen = lab_state().heatmap_layer
    with_units = [name for name in matrices if name in units]
    return chosen if chosen in matrices else next(iter([*with_units, *matrices]), "")


def show_heatmap(recipe: Recipe, layer: str, stale: bool = False) -> None:
    """The layer's importance, pooled by the worker; a drag asks for a part of it again."""
    st.subheader(_("Importance of {layer}").format(layer=plain(layer)))
    try:
        # where a criterion values single weights the picture is of these, whatever the units are
        if recipe.criterion.fits == ANY:
            single = Recipe(recipe.workload, recipe.criterion, Weights(), seed=recipe.seed)
            if not scored(single, "heatmap scores"):
                return
        image = ask(heatmap, recipe, layer, lab_state().heatmap_window)
    except PruningError as error:
        lab_state().heatmap_window = None
        st.error(plain(error))
        return
    components.heatmap(heatmap_data(image, stale), choose_window)


def heatmap_data(image: Heatmap, stale: bool = False) -> HeatmapData:
    """What the component draws."""
    rows, columns = image.values.shape
    tall, wide = -(-(image.bottom - image.top) // rows), -(-(image.right - image.left) // columns)
    cell = (
        _("single weights")
        if tall == wide == 1
        else _("maximum of up to {tall} x {wide} weights a cell").format(tall=tall, wide=wide)
    )
    dims = (_("out"), _("in · kernel")) if image.out_by_in else (_("dimension 0"), _("all other dimensions"))
    where = _("rows {top}–{bottom} of {rows} ({first}), columns {left}–{right} of {columns} ({rest}): {cell}").format(
        first=dims[0], rest=dims[1], top=image.top, bottom=image.bottom - 1, rows=image.shape[0],
        left=image.left, right=image.right - 1, columns=image.shape[1], cell=cell,
    )  # fmt: skip
    return {
        "shape": list(image.shape),
        "top": image.top,
        "bottom": image.bottom,
        "left": image.left,
        "right": image.right,
        "rows": rows,
        "columns": columns,
        "values": packed(image.values),
        "pruned": packed(image.pruned),
        "lowest": image.lowest,
        "highest": image.highest,
        "where": where + (_(", each row its unit's importance") if image.of_units else ""),
        "alt": _("heatmap of {layer}, {where}").format(layer=image.layer, where=where),
        "texts": {
            "all": _("whole layer"),
            "zoomIn": _("zoom in"),
            "zoomOut": _("zoom out"),
            "pruned": _("pruned"),
            "kept": _("kept"),
            "max": _("max"),
            "hint": _("drag to zoom; arrow keys pan, + and − zoom"),
        },
        "stale": stale,
    }
