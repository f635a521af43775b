"""The sidebar: every choice of a recipe, and back again from a recipe to the controls."""

import math
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pruning.amounts import PerLayer, Sparsity, Threshold
from pruning.criteria import CRITERIA, Conductance, Criterion, Magnitude
from pruning.errors import PruningError, RecipeError
from pruning.granularities import GRANULARITIES
from pruning.lab import highest_score
from pruning.numbers import percent, si
from pruning.recipe import Recipe, from_json, kind_of, to_json
from pruning.schedules import SCHEDULES, OneShot, Polynomial
from pruning.scopes import SCOPES
from pruning.tuning import Tuning
from sample_models import MODELS, card
from views.language import _
from views.server import ask, backend

STEPS = 200  # positions of the threshold slider


@dataclass(frozen=True)
class Choice:
    """What the controls say: the recipe, and a sentence where they do not fit together (then the recipe is the last good)."""

    recipe: Recipe
    problem: str = ""


def start() -> Recipe:
    """The recipe that a new visitor finds: the first sample model, half of its weights."""
    return Recipe(next(iter(MODELS)), amount=Sparsity(0.5), schedule=Polynomial(rounds=3), tuning=Tuning(epochs=1))


def restore() -> str:
    """Set the controls of a new session from the URL: its recipe, else that of the run it names. Returns what went wrong."""
    if "workload" in st.session_state:
        return ""
    problem = ""
    recipe = start()
    try:
        run = backend().store.run(st.query_params["run"]) if "run" in st.query_params else None
        if text := st.query_params.get("recipe"):
            recipe = from_json(text)  # what was changed since the run began is not lost
        elif run is not None:
            recipe = run.recipe
        if recipe.workload not in MODELS:
            raise RecipeError(f"workload is {recipe.workload!r}; use one of {', '.join(MODELS)}")
    except PruningError as error:
        problem = str(error)
        st.query_params.pop("run", None)
        recipe = start()
    load(recipe)
    return problem


def load(recipe: Recipe) -> None:
    """Set every control to what the recipe says."""
    amount = recipe.amount
    rest = amount.rest if isinstance(amount, PerLayer) else amount
    schedule = recipe.schedule if isinstance(recipe.schedule, Polynomial) else Polynomial()
    criterion = recipe.criterion
    values: dict[str, Any] = {
        "workload": recipe.workload,
        "criterion": kind_of(criterion),
        "p": criterion.p if isinstance(criterion, Magnitude) else 1,
        "steps": criterion.steps if isinstance(criterion, Conductance) else Conductance().steps,
        "samples": criterion.samples if isinstance(criterion, Conductance) else Conductance().samples,
        "granularity": kind_of(recipe.granularity),
        "scope": kind_of(recipe.scope),
        "amount": "threshold" if isinstance(rest, Threshold) else "sparsity",
        "share": round(100 * rest.share, 1) if isinstance(rest, Sparsity) else 50.0,
        "threshold": rest.value if isinstance(rest, Threshold) else 0.0,
        "overrides": dict(amount.shares) if isinstance(amount, PerLayer) else {},
        "whole": recipe.keep_whole,
        "schedule": kind_of(recipe.schedule),
        "rounds": schedule.rounds,
        "power": schedule.power,
        "epochs": recipe.tuning.epochs,
        "optimiser": recipe.tuning.optimiser,
        "learning_rate": recipe.tuning.learning_rate,
        "batch_size": recipe.tuning.batch_size,
        "images_per_epoch": recipe.tuning.images_per_epoch or 0,
        "seed": recipe.seed,
    }
    st.session_state.update(values)


def choose() -> Choice:
    """Draw the sidebar and return what it says."""
    keep_values()
    with st.sidebar:
        model()
        what_falls()
        problem = st.empty()
        try:
            recipe = _recipe()
            st.session_state.last_recipe = recipe
            choice = Choice(recipe)
        except PruningError as error:
            problem.error(str(error))
            choice = Choice(st.session_state.get("last_recipe", start()), str(error))
        healing()
    st.query_params["recipe"] = to_json(choice.recipe)
    return choice


def keep_values() -> None:
    """Hold on to the values of controls that are not drawn this time; Streamlit would forget them."""
    for key in ("p", "steps", "samples", "share", "threshold", "rounds", "power"):
        st.session_state[key] = st.session_state[key]


def forget_layers() -> None:
    """Another model or other units: what was set for single layers no longer applies."""
    st.session_state.overrides = {}
    st.session_state.whole = ()
    st.session_state.pop("heatmap_layer", None)
    st.session_state.pop("heatmap_window", None)


def model() -> None:
    st.subheader(_("Model"))
    st.selectbox(_("model"), list(MODELS), key="workload", label_visibility="collapsed", on_change=forget_layers)
    try:
        about = card(st.session_state.workload)
    except PruningError:
        return  # its weights are missing or damaged: the page says so where the network would be
    words = _("{parameters} parameters; as shipped {accuracy} on the test split")
    st.caption(words.format(parameters=si(about.parameters), accuracy=percent(about.test_accuracy, 2)))


def what_falls() -> None:
    st.subheader(_("What falls"))
    kind = st.selectbox(
        _("criterion"),
        list(CRITERIA),
        key="criterion",
        help=_("Gives every unit its importance; the least important fall."),
    )
    made = CRITERIA[kind]
    st.caption(f"{made.formula} · {made.source} · {made.cost}")
    if kind == "magnitude":
        st.segmented_control(
            _("norm p"),
            [1, 2],
            key="p",
            required=True,
            help=_(
                "1 sums |w| over a unit, 2 takes the root of the sum of w². For single weights the order is the same."
            ),
        )
    if kind == "conductance":
        st.number_input(
            _("steps"),
            1,
            max(16, st.session_state.steps),
            key="steps",
            help=_("Points on the path from a black image to the sample."),
        )
        st.number_input(
            _("samples"), 1, max(512, st.session_state.samples), key="samples", help=_("Training images looked at.")
        )
    st.segmented_control(
        _("granularity"),
        list(GRANULARITIES),
        key="granularity",
        required=True,
        on_change=forget_layers,
        help=_(
            "What lives or dies together: single weights (zeros stay in the tensors) or channels and neurons (taken out: the network gets smaller)."
        ),
    )
    st.segmented_control(
        _("scope"),
        list(SCOPES),
        key="scope",
        required=True,
        help=_("global: all units compete with one another. layer: every layer loses the same share."),
    )
    amount()


def amount() -> None:
    kind = st.segmented_control(
        _("amount"),
        ["sparsity", "threshold"],
        key="amount",
        required=True,
        help=_("sparsity: the share of units that falls. threshold: units whose importance is below it fall."),
    )
    if kind == "sparsity":
        st.slider(
            _("sparsity"),
            0.0,
            100.0,
            step=0.5,
            key="share",
            format="%.1f %%",
            help=_("Exactly round(share · n) of n units fall, the least important first."),
        )
        return
    try:
        highest = ask(highest_score, _recipe(Sparsity(0.0)))
    except PruningError:
        highest = 1.0  # the combination does not fit; the sentence stands below
    decimals = max(0, 3 - math.floor(math.log10(highest))) if highest > 0 else 3
    top = max(highest, st.session_state.threshold)
    st.slider(
        _("threshold"),
        0.0,
        top,
        step=highest / STEPS,
        key="threshold",
        format=f"%.{min(decimals, 12)}f",
        help=_("A unit stays if its importance is at least this value, in the criterion's own units."),
    )


def healing() -> None:
    st.subheader(_("Heal"))
    schedule = st.segmented_control(
        _("schedule"),
        list(SCHEDULES),
        key="schedule",
        required=True,
        help=_(
            "one_shot: everything falls at once. polynomial: in rounds, much early and little late: 1 − (1 − t/n)^power."
        ),
    )
    left, right = st.columns(2)
    if schedule == "polynomial":
        left.number_input(_("rounds"), 1, 1000, key="rounds", help=_("Rounds of pruning, each followed by tuning."))
        right.number_input(_("power"), 0.01, 100.0, step=0.5, key="power", help=_("1 is a straight line; 3 is usual."))
    left.number_input(_("epochs"), 0, 10_000, key="epochs", help=_("Passes over the training images after each round."))
    right.number_input(
        _("images per epoch"),
        0,
        1_000_000,
        step=1000,
        key="images_per_epoch",
        help=_("0 uses all of them; fewer give a quick answer."),
    )
    with st.expander(_("Optimiser")):
        st.segmented_control(_("optimiser"), ["adamw", "sgd"], key="optimiser", required=True)
        st.number_input(
            _("learning rate"),
            0.00001,
            9.0,
            step=0.0005,
            format="%.5f",
            key="learning_rate",
            help=_("The top of the one-cycle schedule."),
        )
        st.number_input(_("batch size"), 2, 1_000_000, key="batch_size")
        st.number_input(_("seed"), 0, 2**31 - 1, key="seed", help=_("The same seed gives the same run."))


def _criterion() -> Criterion:
    state = st.session_state
    if state.criterion == "magnitude":
        return Magnitude(p=state.p)
    if state.criterion == "conductance":
        return Conductance(steps=state.steps, samples=state.samples)
    return CRITERIA[state.criterion]()


def _recipe(amount: Sparsity | Threshold | None = None) -> Recipe:
    state = st.session_state
    if amount is None:
        amount = Threshold(state.threshold) if state.amount == "threshold" else Sparsity(round(state.share / 100, 4))
    shares = {layer: share for layer, share in state.overrides.items() if layer not in state.whole}
    return Recipe(
        workload=state.workload,
        criterion=_criterion(),
        granularity=GRANULARITIES[state.granularity](),
        scope=SCOPES[state.scope](),
        amount=PerLayer(shares, rest=amount) if shares else amount,
        schedule=Polynomial(state.rounds, state.power) if state.schedule == "polynomial" else OneShot(),
        tuning=Tuning(
            epochs=state.epochs,
            optimiser=state.optimiser,
            learning_rate=state.learning_rate,
            batch_size=state.batch_size,
            images_per_epoch=state.images_per_epoch or None,
        ),
        keep_whole=tuple(sorted(state.whole)),
        seed=state.seed,
    )
