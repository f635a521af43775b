"""Turns a pruned network and its data into a tuned one, in the rounds of a schedule. Knows no scores and no files."""
