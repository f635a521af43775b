"""Turns a workload's network into layers, unit groups, costs and smaller networks. Knows no scores and no recipe."""
