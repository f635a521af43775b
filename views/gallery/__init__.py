"""Every component and table of the pages in every state, from values made by hand: `python -m views.gallery`.

For whoever changes how something looks, and for tests/browser/test_gallery.py. No worker is started.
"""
