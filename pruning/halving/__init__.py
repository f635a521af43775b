"""Successive halving: the settings of a grid compete, first with little training, and the best go on with more."""
