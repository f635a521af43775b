"""Who may come in, who they are, and what may pass: all that stands between the network and Streamlit."""
