"""See a network, cut it, heal it, take it home: the library."""

__version__ = "0.1.0"
