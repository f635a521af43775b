"""Runs a network's own code on labels: which slices of which tensors fall together, for any code.

Every slice of every parameter (parameter, dimension, index) has a label. While the network computes its example, each
value carries the labels of the slices that it came from; what only moves data moves them, and where values meet, their
labels are coupled. `tracing.py` is where to start reading, `rules.py` is the table of torch's operations.
"""
