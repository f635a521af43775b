"""Turns a recipe and its workload into a map of what each layer's pruning costs. Knows no run, page or file."""
