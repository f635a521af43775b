"""The button that starts a run of the recipe on the page."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pruning.errors import PruningError
from pruning.recipe.recipe import Recipe, to_json
from views.shared.language import _
from views.shared.person import person
from views.shared.plain_text import plain
from views.shared.run_panel import shown
from views.shared.server import backend


def show(place: DeltaGenerator, recipe: Recipe, problem: str) -> None:
    """Run, under the choices that it carries out; disabled where a `problem` says why they cannot be."""
    with place:
        # another recipe may be queued behind it; the same one twice is a click too many
        row = shown()
        same = row if row is not None and row.recipe_json == to_json(recipe) else None
        busy = same is not None and not same.over
        again = same is not None and same.state == "finished" and same.session == person()
        words = _(
            "Carries the same recipe out once more, to see how much its result varies. Run alone shows what is there."
        )
        if st.button(
            _("Run again") if again else _("Run"), type="primary", width="stretch", disabled=bool(problem) or busy,
            key="run_button", help=words if again else None,
        ):  # fmt: skip
            try:
                st.query_params["run"] = backend().start(recipe, person(), again)
            except PruningError as error:
                st.error(plain(error))
            else:
                st.rerun()
        if busy:
            st.caption(_("this recipe is being carried out: stop it or wait for it"))
