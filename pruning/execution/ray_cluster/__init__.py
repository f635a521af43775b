"""Turns the nodes of a Ray cluster into workers like those on this machine. Knows nothing of what they compute."""
