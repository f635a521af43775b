"""Pruning Explorer, for `streamlit run app.py`. `make run` starts the same page with its workers already up."""

from views.app import main

main()
