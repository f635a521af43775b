"""The page in a window of its own, by pywebview. The window needs the main thread, and so does the server: it is a
process of its own that ends with the window.
"""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from pruning.cli.page_address import PageAddress
from pruning.errors import PruningError
from views.entrance.access import is_loopback

ROOT = Path(__file__).parents[1]
STARTED_S = 120.0
ENDED_S = 20.0


def open_window(address: PageAddress) -> None:
    """Start the server on this port, show its page, and stop it when the window is closed."""
    if not is_loopback("127.0.0.1" if address.host == "localhost" else address.host) or address.certificate:
        raise PruningError("--window is for this machine alone; leave out --host and --certificate, or --window")
    port = address.port
    try:
        import webview  # pyright: ignore[reportMissingImports]  # optional
    except ModuleNotFoundError as error:
        raise PruningError(
            "a window of its own needs pywebview, which is not installed; run pip install 'pruning-explorer[desktop]', "
            "or leave out --window"
        ) from error
    server = _start(port)
    try:
        _wait_until_up(port, server)
        webview.create_window("Pruning Explorer", f"http://localhost:{port}", width=1440, height=1000)
        webview.start()
    except webview.errors.WebViewException as error:
        raise PruningError(f"no window could be opened ({error}); leave out --window to use the browser") from error
    finally:
        _stop(server)


def _start(port: int) -> "subprocess.Popen[bytes]":
    """-P and our own folder first: a file `views.py` in the working directory is not ours."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-P", "-m", "views", "--port", str(port), "--headless"]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})


def _wait_until_up(port: int, server: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + STARTED_S
    while time.monotonic() < end:
        if server.poll() is not None:
            raise PruningError("the server of the page ended while it started; the line above says why")
        try:
            urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise PruningError(f"the server of the page is not up after {STARTED_S:.0f} s; try again without --window")


def _stop(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(ENDED_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
