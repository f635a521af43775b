"""See a network, cut it, heal it, take it home: the library."""
