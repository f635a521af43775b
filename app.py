"""Pruning Explorer: navigation. No logic."""

import streamlit as st

from views.language import _

st.set_page_config(page_title="Pruning Explorer", layout="wide", initial_sidebar_state="auto")

PAGES = [st.Page("views/lab.py", title=_("Lab"), default=True)]

st.html(
    "<style>"
    ".stMainBlockContainer { padding: 3.2rem 2rem 4rem; }"
    "[data-testid=stSidebarUserContent] { padding-top: .5rem; }"
    "h3 { font-size: 1rem !important; padding: .4rem 0 .2rem !important; }"
    "</style>"
)
with st.sidebar:
    st.html("<strong style='font-size: 1.05rem'>Pruning Explorer</strong>")
st.navigation(PAGES, position="top").run()
