"""The page of all runs: their table, one in detail, several compared."""
