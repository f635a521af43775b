"""The gallery: a part for each page of the product, in it each component and table, each in all its states."""

import streamlit as st

from views.gallery.parts import PARTS
from views.shared.language import _
from views.shared.page_style import PAGE_CSS


def page() -> None:
    st.set_page_config(page_title="Pruning Explorer", layout="wide")
    st.html(PAGE_CSS)
    wanted = st.query_params.get("part")
    part = st.segmented_control(
        _("part"), list(PARTS), key="part", default=wanted if wanted in PARTS else "lab", required=True,
        format_func=_, label_visibility="collapsed",
    )  # fmt: skip
    for component, states in PARTS[part].items():
        st.subheader(_(component))
        for place, (state, draw) in enumerate(states.items()):
            key = f"state_{component.replace(' ', '_')}_{place}"
            with st.container(key=key):
                st.caption(_("{component}: {state}").format(component=_(component), state=_(state)))
                draw(key)


page()
