"""The command line: `app.py` says what the commands take, each other file carries one out."""
