"""Start the server: `python -m views [--port 8501]`. Workers start first, so that the first page finds them ready."""

import argparse
import socket
import sys
from pathlib import Path

from streamlit.web import bootstrap

from pruning.errors import PruningError
from views.shared.server import backend

APP = Path(__file__).parents[1] / "app.py"


def main() -> int:
    """Exit code 2 and one sentence where the server cannot start."""
    parser = argparse.ArgumentParser(prog="python -m views", description="Pruning Explorer in the browser.")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--headless", action="store_true", help="do not open a browser")
    options = parser.parse_args()
    if not _free(options.port):
        print(
            f"port {options.port} is in use; stop what uses it, or choose another: make run PORT={options.port + 1}",
            file=sys.stderr,
        )
        return 2
    try:
        started = backend()
        # only now what brings torch, so that server and worker load it side by side; the first page will ask for this
        from pruning.interactive.queries import open_workload
        from sample_models import MODELS

        started.call(open_workload, next(iter(MODELS)))
    except PruningError as error:
        print(error, file=sys.stderr)
        return 2
    settings = {"server_port": options.port, "server_headless": options.headless}
    bootstrap.load_config_options(settings)
    bootstrap.run(str(APP), False, [], settings)
    return 0


def _free(port: int) -> bool:
    """Whether the port can be listened on, asked as the server will: a port in TIME_WAIT is free."""
    with socket.socket() as probe:
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except (OSError, OverflowError):
            return False
    return True


if __name__ == "__main__":
    sys.exit(main())
