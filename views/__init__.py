"""The pages: everything that touches Streamlit. No tensor arithmetic here; a number comes from `pruning/`."""
