"""Files: written whole or not at all, and a stranger's looked at, and read in a limited process, before anything believes it."""
