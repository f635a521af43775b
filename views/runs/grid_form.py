"""A new experiment: the values that settings of the Lab's recipe take in turn, how many runs that is, and a button."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import streamlit as st

from pruning.errors import PruningError, RecipeError
from pruning.execution.sweep_progress import counts, planned_runs
from pruning.recipe.catalog import CHOICES, kind_of
from pruning.recipe.recipe import Recipe
from pruning.recipe.serialization import to_plain
from pruning.reporting.run_history import how_much, what_is_pruned
from pruning.sweeps.expansion import Expansion, expand
from pruning.sweeps.grid import CONTROLS, ControlName, Grid, grid_from_json, grid_to_json
from views.runs import halving_form
from views.runs.state import runs_state
from views.shared import recipe_sidebar
from views.shared.language import _
from views.shared.pages import LAB
from views.shared.person import person
from views.shared.plain_text import plain
from views.shared.run_events import rows_of_recipes
from views.shared.server import backend
from views.shared.state import shared_state

VARIED = ("criterion", "granularity", "repair")
MOST_SEEDS = 100
CONTROL_HELP: dict[ControlName, str] = {
    "dense": "The dense network trained as long, with nothing pruned: was it the pruning, or the longer training?",
    "random": "As much pruned at random: does the criterion choose better than chance?",
}


def show() -> None:
    """The form, and below it what it comes to."""
    base = shared_state().last_recipe or recipe_sidebar.start()
    if runs_state().grid_base != base:  # another recipe in the Lab: the form begins at its choices
        runs_state().grid_base = base
        _load(base)
    with st.container(horizontal=True, vertical_alignment="center"):
        words = _("Every other setting is as in the Lab: {workload} · {amount}, {what}.")
        st.caption(words.format(workload=base.workload, amount=how_much(base.amount), what=what_is_pruned(base)))
        st.page_link(LAB, label=_("Change it in the Lab"))
    left, right = st.columns(2, gap="large")
    with left:
        kinds = {choice: _kinds(choice, base) for choice in VARIED}
        with st.expander(_("More settings")):
            kinds |= {choice: _kinds(choice, base) for choice in _others()}
    with right:
        shares, problem = _shares(base)
        seeds = int(st.number_input(_("seeds"), 1, MOST_SEEDS, key="grid.seeds", help=_("How often each is run, with seeds 0, 1, 2, ...: from two on there is an interval.")))  # fmt: skip
        controls = _controls()
    if problem:
        return
    try:
        grid = grid_of(base, kinds, shares, seeds, controls)
        _summary(grid, expansion(grid_to_json(grid)))
    except PruningError as error:
        st.error(plain(error))


def _others() -> list[str]:
    """The choices that are varied less often. The amount has a box of its own."""
    return [choice for choice in CHOICES if choice not in (*VARIED, "amount")]


def _load(base: Recipe) -> None:
    for choice in (*VARIED, *_others()):
        st.session_state[f"grid.{choice}"] = [kind_of(getattr(base, choice))]
    st.session_state.update({"grid.amounts": "", "grid.seeds": 3, **{f"grid.{name}": True for name in CONTROLS}})


def grid_of(
    base: Recipe, kinds: dict[str, list[str]], shares: list[float], seeds: int, controls: Sequence[ControlName]
) -> Grid:
    """The grid that the controls say. What keeps the recipe's own value alone is not varied."""
    vary: dict[str, tuple[Any, ...]] = {}
    for choice, chosen in kinds.items():
        own = kind_of(getattr(base, choice))
        if chosen and chosen != [own]:
            vary[choice] = tuple(to_plain(getattr(base, choice)) if kind == own else kind for kind in chosen)
    if shares:
        vary["amount.share"] = tuple(shares)
    vary["seed"] = tuple(range(seeds))
    return Grid(base, vary, tuple(controls))


@lru_cache(maxsize=16)
def expansion(grid_json: str) -> Expansion:
    """The grid's recipes: a recipe takes 2 ms to check, and a page is drawn at every click."""
    return expand(grid_from_json(grid_json))


def _kinds(choice: str, base: Recipe) -> list[str]:
    own = kind_of(getattr(base, choice))
    return st.multiselect(
        _(choice), list(CHOICES[choice].rows), key=f"grid.{choice}", help=_(CHOICES[choice].question),
        format_func=lambda kind: kind.replace("_", " "), placeholder=own.replace("_", " "),
    )  # fmt: skip


def _shares(base: Recipe) -> tuple[list[float], bool]:
    """The amounts, as shares of 1, none where the recipe's own stays; and whether what is typed is none."""
    share = getattr(base.amount, "share", None)
    text = st.text_input(
        _("amounts, %"), key="grid.amounts", disabled=share is None,
        placeholder="" if share is None else f"{100 * share:g}",
        help=_("Percentages separated by commas, such as 50, 80, 90: of what the amount in the Lab counts in."),
    )  # fmt: skip
    if share is None:
        kind = kind_of(base.amount).replace("_", " ")
        st.caption(_("The amount of this recipe is {kind}, which has no single percentage.").format(kind=kind))
        return [], False
    try:
        return [
            round(float(part) / 100, 6) for part in (text or "").replace(";", ",").split(",") if part.strip()
        ], False
    except ValueError:
        st.error(_("These are no numbers: write percentages separated by commas, such as 50, 80, 90."))
        return [], True


def _controls() -> list[ControlName]:
    with st.container(horizontal=True):
        return [
            name for name in CONTROLS
            if st.checkbox(_("{name} control").format(name=_(name)), key=f"grid.{name}", help=_(CONTROL_HELP[name]))
        ]  # fmt: skip


def _summary(grid: Grid, found: Expansion) -> None:
    """How many runs, how many are there already, how many do not fit and why; the button."""
    there = counts(planned_runs(found.runs, rows_of_recipes([run.recipe.name for run in found.runs])))
    waiting, again = there["queued"] + there["running"], there["failed"] + there["stopped"]
    new = there["missing"] + again
    roles = Counter(planned.role for planned in found.runs)
    st.markdown(
        _("**{n} runs**: {grid} of the grid, {dense} dense and {random} random controls").format(
            n=len(found.runs), grid=roles["grid"], dense=roles["dense"], random=roles["random"]
        )
    )
    lines = [
        (there["finished"], _("{n} are done already")),
        (waiting, _("{n} are queued or running")),
        (again, _("{n} failed or were stopped, and are tried again")),
        (found.repeated, _("{n} combinations give a recipe that is there already")),
        (sum(each.count for each in found.refused), _("{n} do not go together, and are not run")),
    ]
    if said := [words.format(n=number) for number, words in lines if number]:
        st.caption(" · ".join(said))
    if found.refused:
        with st.expander(_("What is not run, and why")):
            for refused in found.refused:
                st.caption(plain(refused))
    with st.container(horizontal=True):
        words = _("Queue {n} runs").format(n=new) if new else _("Show the results")
        if st.button(words, type="primary", key="queue_grid"):
            _queue(grid)
        st.download_button(
            _("grid.json"), data=grid_to_json(grid), file_name="grid.json", mime="application/json", on_click="ignore",
            key="file_of_grid", help=_("For the command line: python -m pruning sweep grid.json --out DIR"),
        )  # fmt: skip
    st.caption(_("They start in turns with other people's runs, and after your own single runs."))
    halving_form.show(grid)


def _queue(grid: Grid) -> None:
    try:
        backend().start_sweep(grid, person())
    except RecipeError:
        raise
    except PruningError as error:
        st.error(plain(error))
    else:
        runs_state().opened_sweep = grid.name
        st.rerun()
