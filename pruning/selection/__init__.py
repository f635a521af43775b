"""Turns scores into the units that stay: pools, one sort, an amount, masks. Knows no data and no training."""
