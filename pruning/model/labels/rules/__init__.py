"""What torch's operations do to labels. `table.py` is the list; a kind of operation a file."""
