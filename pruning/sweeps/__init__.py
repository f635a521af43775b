"""Turns a grid of choices into the recipes of its runs. Knows no model, no data and no worker."""
