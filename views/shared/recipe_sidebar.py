"""The sidebar: every choice of a recipe, and back again from a recipe to the controls.

The amount is moved far more often than anything else is chosen, and to draw forty controls anew takes longer than to
answer the move. So it can be drawn apart, by a part of the page that is drawn alone when it is moved.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.elements.lib.mutable_expander_container import ExpanderContainer

from pruning.errors import PruningError, RecipeError
from pruning.interactive.queries import allocation, score_range
from pruning.options.constraints import Between, ranges
from pruning.recipe.catalog import CHOICES
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.repair import NoRepair
from pruning.reporting.formatting import percent, si
from pruning.selection.amounts import Automatic, PerLayer, Sparsity
from pruning.training.distillation.distillation import DENSE
from pruning.training.schedules import Polynomial
from pruning.training.tuning import Tuning
from sample_models import MODELS, card
from views.shared import forms
from views.shared.language import _
from views.shared.pages import SEARCH
from views.shared.plain_text import plain
from views.shared.run_events import run_seen
from views.shared.scoring import scored_by_now
from views.shared.server import ask, opened
from views.shared.state import shared_state

STEPS = 200  # positions of the threshold slider
OFTEN = ("epochs", "images_per_epoch")  # what of tuning is changed often; the rest is folded away
OPTIMISER = ("optimiser", "learning_rate", "curve", "warm_up", "weight_decay", "momentum", "batch_size")


@dataclass(frozen=True)
class Places:
    """Where the sidebar shows what depends on the amount."""

    amount: DeltaGenerator
    problem: DeltaGenerator
    run: DeltaGenerator


def rows(choice: str) -> Mapping[str, type[Any]]:
    """The kinds that the page offers; sparsities by hand are set in the layers' rows."""
    kinds = CHOICES[choice].rows
    return {kind: made for kind, made in kinds.items() if made is not PerLayer} if choice == "amount" else kinds


@dataclass(frozen=True)
class Choice:
    """What the controls say: the recipe, and a sentence where they do not fit together (then the recipe is the last good)."""

    recipe: Recipe
    problem: str = ""

    @property
    def shown(self) -> Recipe:
        """The recipe as a page can show it at once: before a run has found its amount, nothing is pruned."""
        if not isinstance(self.recipe.amount, Automatic):
            return self.recipe
        return replace(self.recipe, amount=Sparsity(0.0), repair=NoRepair())


def start() -> Recipe:
    """The recipe that a new visitor finds: the first sample model, half of its weights."""
    return Recipe(next(iter(MODELS)), amount=Sparsity(0.5), schedule=Polynomial(rounds=3), tuning=Tuning(epochs=1))


def restore() -> str:
    """Set the controls on a new page: those of a new session from the URL, its recipe or its run. Returns what went wrong."""
    if "workload" in st.session_state:
        return ""
    state = shared_state()
    if state.last_recipe is not None:  # another page of this session: Streamlit forgets controls on the way
        load(state.last_recipe)
        return ""
    problem = ""
    recipe = start()
    try:
        run = run_seen(st.query_params["run"]) if "run" in st.query_params else None
        if text := st.query_params.get("recipe"):
            recipe = from_json(text)  # what was changed since the run began is not lost
        elif run is not None:
            recipe = run.recipe
        _require_known(recipe)
    except PruningError as error:
        problem = str(error)
        st.query_params.pop("run", None)
        state.shown_run = None
        recipe = start()
    load(recipe)
    return problem


def reopen(recipe: Recipe) -> None:
    """Make the recipe the one that the Lab shows next. RecipeError if this server does not have its workload."""
    _require_known(recipe)
    forget_layers()
    load(recipe)
    shared_state().last_recipe = recipe


def _require_known(recipe: Recipe) -> None:
    if recipe.workload not in MODELS:
        raise RecipeError(f"workload is {recipe.workload!r}; use one of {', '.join(MODELS)}")
    # a larger drop is one of a score in its own unit, and no sample model has one: its control ends there
    for field in ("schedule", "amount"):
        choice = getattr(recipe, field)
        limits, drop = ranges(type(choice)).get("max_drop"), getattr(choice, "max_drop", None)
        if limits is not None and (drop or 0.0) > limits.high:
            raise RecipeError(f"{field}.max_drop is {drop}; it lies between 0 and {limits.high:g}")


def load(recipe: Recipe) -> None:
    """Set every control to what the recipe says."""
    amount = recipe.amount
    values = {choice: getattr(recipe, choice) for choice in CHOICES}
    values["amount"] = amount.rest if isinstance(amount, PerLayer) else amount
    for choice, value in values.items():
        forms.load(choice, rows(choice), value)
    forms.load_fields("tuning", recipe.tuning)
    st.session_state.update(workload=recipe.workload, seed=recipe.seed)
    state = shared_state()
    state.overrides = dict(amount.shares) if isinstance(amount, PerLayer) else {}
    state.whole = tuple(sorted(recipe.keep_whole))


def choose() -> Choice:
    """Draw the sidebar and return what it says."""
    return choose_amount(draw())


def draw() -> Places:
    """Draw all choices but the amount."""
    forms.hold(*CHOICES, "tuning", "workload", "seed")
    with st.sidebar:
        model()
        what_is_pruned()
        amount, problem = st.container(), st.container()
        healing()
        return Places(amount, problem, st.container())


def choose_amount(places: Places) -> Choice:
    """Draw the choice of the amount, and return what the whole sidebar says."""
    forms.hold("amount")
    with places.amount:
        how_much()
    problem = places.problem.empty()
    try:
        choice = Choice(_recipe())
        shared_state().last_recipe = choice.recipe
    except PruningError as error:
        problem.error(plain(error))
        choice = Choice(shared_state().last_recipe or start(), str(error))
    st.query_params["recipe"] = to_json(choice.recipe)
    return choice


def forget_layers() -> None:
    """Another model or other units: what was set for single layers no longer applies."""
    state = shared_state()
    state.overrides, state.whole = {}, ()


def model() -> None:
    st.subheader(_("Model"))
    st.selectbox(_("model"), list(MODELS), key="workload", label_visibility="collapsed", on_change=forget_layers)
    try:
        about = card(st.session_state.workload)
    except PruningError:
        return  # its weights are missing or damaged: the page says so where the network would be
    words = _("{parameters} parameters; as shipped {accuracy} on the test split")
    st.caption(words.format(parameters=si(about.parameters), accuracy=percent(about.test_accuracy, 2)))


def what_is_pruned() -> None:
    st.subheader(_("What is pruned"))
    made = _choice("criterion")
    _formula(made)
    known = forms.DynamicOptions(options={"reference": _checkpoints()} if "reference" in _fields(made) else {})
    forms.draw(_prefix("criterion"), made, known)
    forms.draw(_prefix("granularity"), _choice("granularity", on_change=forget_layers))
    forms.draw(_prefix("scope"), _choice("scope"))


def how_much() -> None:
    kind = _choice("amount")
    forms.draw(
        _prefix("amount"), kind, forms.DynamicOptions(ranges=_threshold_range() if "value" in _fields(kind) else {})
    )
    _found_by_a_run()
    _by_rule()


def _found_by_a_run() -> None:
    """What to do with an amount that is not known yet."""
    if st.session_state.amount != "automatic":
        return
    st.caption(
        _(
            "A run finds this amount before its first cut, with scope layer: until then nothing is shown as pruned, and the page Search shows what there is to choose from."
        )
    )
    st.page_link(SEARCH, label=_("Open Search"))


def _choice(choice: str, **events: Any) -> type[Any]:
    return forms.choose(choice, list(rows(choice)), rows(choice), _(CHOICES[choice].question), **events)


def _formula(made: type[Any]) -> None:
    """What a kind computes, where that is written down and what it costs; nothing of a kind that does nothing."""
    if made.formula:
        st.caption(f"{made.formula} · {made.source} · {made.cost}")


def _prefix(choice: str) -> str:
    return f"{choice}.{st.session_state[choice]}"


def _fields(made: type[Any]) -> list[str]:
    return [f.name for f in fields(made)]


def _checkpoints() -> list[str]:
    """Earlier states of the model that the criterion `change` can compare with."""
    try:
        return list(opened(st.session_state.workload).checkpoints) or ["initial"]
    except PruningError:
        return ["initial"]  # the page says where the network would be what is wrong


def _teachers() -> list[str]:
    """Who can teach the model while it is tuned."""
    try:
        return [DENSE, *opened(st.session_state.workload).teachers]
    except PruningError:
        return [DENSE]


def _threshold_range() -> dict[str, Between]:
    """The slider's ends, in the criterion's own units; they always hold the value that is set."""
    low, high = 0.0, 1.0
    try:
        recipe = _recipe(Sparsity(0.0))
        if scored_by_now(recipe):  # if not, the page shows how far that is
            low, high = ask(score_range, recipe)
    except PruningError:
        pass  # the combination does not fit; the sentence stands below
    value = st.session_state["amount.threshold.value"]
    return {
        "value": Between(
            min(low, 0.0, value), max(high, value, min(low, 0.0) + 1e-9), step=(high - low) / STEPS or 0.005
        )
    }


def _by_rule() -> None:
    """Sparsities of single layers by rule, to start from: they appear in the rows and can be changed there."""
    if st.session_state.amount != "sparsity":
        return
    with st.popover(
        _("set layers by rule"), help=_("Fills in the rows a sparsity for each layer: then change them by hand.")
    ):
        st.caption(
            _("uniform: the same for all layers. ERK (Evci 2020): small layers keep more, about the same in all.")
        )
        left, middle, right = st.columns(3)
        left.button(_("uniform"), on_click=_allocate, args=("uniform",), width="stretch")
        middle.button(_("ERK"), on_click=_allocate, args=("erk",), width="stretch")
        right.button(_("clear"), on_click=_clear, width="stretch", disabled=not shared_state().overrides)


def _allocate(rule: Literal["uniform", "erk"]) -> None:
    try:
        share = round(st.session_state["amount.sparsity.share"] / 100, 4)
        shared_state().overrides = ask(allocation, _recipe(Sparsity(0.0)), rule, share)
    except PruningError as error:
        st.toast(plain(error))


def _clear() -> None:
    shared_state().overrides = {}


def healing() -> None:
    """What happens after each cut: a repair without training, then fine-tuning."""
    st.subheader(_("Repair"))
    made = _choice("repair")
    _formula(made)
    forms.draw(_prefix("repair"), made)
    st.subheader(_("Sparse training"))
    made = _choice("regulariser")
    _formula(made)
    forms.draw(_prefix("regulariser"), made)
    st.subheader(_("Fine-tuning"))
    forms.draw(_prefix("schedule"), _choice("schedule"))
    with _folded(_("From scratch, lottery tickets"), "fold_start") as fold:
        if fold.open:
            forms.draw(_prefix("start"), _choice("start"))
            made = _choice("rewind")
            _formula(made)
            forms.draw(_prefix("rewind"), made)
    forms.draw("tuning", Tuning, only=OFTEN)
    made = _choice("distillation")
    _formula(made)
    teachers = {"teacher": _teachers()} if "teacher" in _fields(made) else {}
    forms.draw(_prefix("distillation"), made, forms.DynamicOptions(options=teachers))
    with _folded(_("Averages, smoothing, early stopping"), "fold_averages") as fold:
        if fold.open:
            forms.draw("tuning", Tuning, only=[f for f in _fields(Tuning) if f not in (*OFTEN, *OPTIMISER)])
    with _folded(_("Optimiser"), "fold_optimiser") as fold:
        if fold.open:
            forms.draw("tuning", Tuning, only=OPTIMISER)
            st.number_input(_("seed"), 0, 2**31 - 1, key="seed", help=_("The same seed gives the same run."))


def _folded(label: str, key: str) -> ExpanderContainer:
    """A part that is drawn once it is opened: twenty controls that nobody sees took half the time of the page."""
    return st.expander(label, key=key, on_change="rerun")


def _read(choice: str) -> Any:
    return forms.read(_prefix(choice), rows(choice)[st.session_state[choice]])


def _recipe(amount: Any = None) -> Recipe:
    state = shared_state()
    amount = _read("amount") if amount is None else amount
    shares = {layer: share for layer, share in state.overrides.items() if layer not in state.whole}
    return Recipe(
        workload=st.session_state.workload,
        amount=PerLayer(shares, rest=amount) if shares else amount,
        tuning=forms.read("tuning", Tuning),
        keep_whole=frozenset(state.whole),
        seed=st.session_state.seed,
        **{choice: _read(choice) for choice in CHOICES if choice != "amount"},
    )
