"""Turns a workload and a recipe into events and files: prune, tune, measure, export. Knows no store and no page."""
