"""Turns events, results and maps into words, tables and figures. Knows nothing of how they were computed."""
