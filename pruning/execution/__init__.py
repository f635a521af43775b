"""Turns a page's questions and recipes into work of other processes: workers, a store, a backend. Knows no page.

Nothing that the page's process imports from here imports torch: it starts at once, and stays small.
"""
