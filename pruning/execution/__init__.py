"""Runs and interactive work outside the page's process: the store, the backend's protocol and the local backend.

Nothing that the page's process imports from here imports torch, so that a worker can start before the page has torch.
"""
