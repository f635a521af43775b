"""Turns the annotations and docstrings of a choice into checks, ranges and help. Knows nothing of any single choice."""
