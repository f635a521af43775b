"""What we claim, as commands that print tables: `python -m benchmarks NAME [--json]`."""
