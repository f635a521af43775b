"""`python -m views [--port 8501 --headless --window]`: the same as `python -m pruning app`."""

import sys

from pruning.__main__ import main

if __name__ == "__main__":
    main(["app", *sys.argv[1:]])
