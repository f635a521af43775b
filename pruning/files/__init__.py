"""Files that are whole or not there; a stranger's are looked through, and read by a limited process, first of all."""
