"""Turns choices into one value that becomes JSON and back, and says which go together. Knows no model and no data."""
