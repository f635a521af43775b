"""Turns a page's questions into plain answers, from what a worker's session keeps. Knows nothing of pages."""
