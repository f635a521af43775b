"""Navigation. No logic."""

import streamlit as st

from views.shared.language import _
from views.shared.page_style import PAGE_CSS
from views.shared.pages import COMPARE, LAB, RUNS, SEARCH, SENSITIVITY, SERVER
from views.shared.person import came_past_the_door, who
from views.shared.state import shared_state


def main() -> None:
    """Draw what all pages share, then the page itself."""
    st.set_page_config(page_title="Pruning Explorer", layout="wide", initial_sidebar_state="auto")
    pages = [
        st.Page(LAB, title=_("Lab"), default=True),
        st.Page(COMPARE, title=_("Compare"), url_path="compare"),
        st.Page(SENSITIVITY, title=_("Sensitivity"), url_path="sensitivity"),
        st.Page(SEARCH, title=_("Search"), url_path="search"),
        st.Page(RUNS, title=_("Runs"), url_path="runs"),
        # to whoever opens its address all the same the page says whose it is
        st.Page(SERVER, title=_("Server"), url_path="server", visibility="visible" if who().owner else "hidden"),
    ]
    st.html(PAGE_CSS)
    if came_past_the_door():
        st.error(
            _("This server is for its own machine. For others, start it with: python -m pruning app --host ADDRESS")
        )
        st.stop()
    with st.sidebar:
        st.html("<strong style='font-size: 1.05rem'>Pruning Explorer</strong>")
    page = st.navigation(pages, position="top")
    # a page switch drops the query parameters: the run that is shown stays the same on every page
    if "run" in st.query_params:
        shared_state().shown_run = st.query_params["run"]
    elif (shown_run := shared_state().shown_run) is not None:
        st.query_params["run"] = shown_run
    page.run()


if __name__ == "__main__":
    main()
