"""Turns a workload and a recipe into the decision which units are pruned. Knows nothing of tuning, runs or pages."""
