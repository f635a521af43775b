"""What the project claims about its speed and accuracy, as commands: `python -m benchmarks NAME`."""
