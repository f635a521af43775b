"""Turns bytes into files that are there whole or not at all. Knows nothing of what the bytes mean."""
