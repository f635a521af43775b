"""Turns a model and a split of data into scores and estimates with intervals. Knows nothing of pruning or recipes."""
