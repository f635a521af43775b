"""Styles of the whole page, for Streamlit's own elements."""

PAGE_CSS = """<style>
.stMainBlockContainer { padding: 3.6rem 2rem 4rem; }
[data-testid=stSidebarUserContent] { padding-top: .5rem; }
[class*=st-key-watch_] { position: absolute; }
h3 { font-size: 1rem !important; padding: .4rem 0 .2rem !important; }
</style>"""
