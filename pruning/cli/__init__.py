"""Turns what is typed in a terminal into runs, tables and maps. Knows no page and no sample model.

`app.py` says what the commands take; each other file carries one out.
"""
