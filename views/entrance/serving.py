"""The server: Streamlit's application behind the door, on a port that is taken before anything else starts."""

import errno
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.middleware import Middleware
from streamlit.starlette import App
from streamlit.web import bootstrap
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from pruning.errors import PruningError
from views.entrance.access import Access
from views.entrance.door import USER_FIELDS, Door, RememberPeer
from views.entrance.faults import Faults, keep_the_log_short
from views.entrance.visitors import Visitors, server_secret
from views.entrance.watches import WATCHES

LARGEST_FRAME = 2 * 2**20
"""Bytes of a WebSocket message from a browser; a page's own are a few thousand."""
PING_S = 30
ENDED_S = 5


def taken(host: str, port: int) -> socket.socket:
    """A socket that listens there. PruningError where the port is in use, or the address is another machine's."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        if sys.platform != "win32":  # where it would take a port away from whoever listens
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(2048)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise PruningError(f"--host {host} is no address of this machine; give one that is, or 0.0.0.0") from error
        if error.errno == errno.EACCES:
            raise PruningError(
                f"port {port} needs more rights than this program has; choose one above 1023: --port 8501"
            ) from error
        raise PruningError(
            f"port {port} is in use; stop what uses it, or choose another: --port {port + 1} (make run PORT={port + 1})"
        ) from error
    return made


def application(script: Path, access: Access, home: Path, opened: str = "") -> App:
    """Streamlit's application behind the door. `opened`: the address that a browser on this machine is shown."""
    keep_the_log_short()
    visitors = Visitors(access, server_secret(home))
    proxies = list(access.proxies)
    return App(
        script,
        lifespan=_showing(opened),
        on_script_error=Faults(home),
        routes=WATCHES.routes(),
        middleware=[
            Middleware(RememberPeer),
            Middleware(ProxyHeadersMiddleware, trusted_hosts=proxies),
            Middleware(Door, access=access, visitors=visitors),
        ],
    )


def serve(app: App, listening: socket.socket, access: Access) -> None:
    """Answer until Ctrl-C or SIGTERM, then end in good order."""
    settings = uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=LARGEST_FRAME,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        ws_per_message_deflate=False,
        ssl_certfile=access.certificate,
        ssl_keyfile=access.key,
        proxy_headers=False,  # ours asks first who is believed
        server_header=False,
        access_log=False,
        log_level="warning",
        use_colors=False,
        timeout_graceful_shutdown=ENDED_S,
    )
    # uvicorn ends in good order and then raises the signal once more: what is registered at exit shall still happen
    signal.signal(signal.SIGTERM, _end)
    try:
        uvicorn.Server(settings).run(sockets=[listening])
    except KeyboardInterrupt:
        return


def options(settings: dict[str, Any]) -> dict[str, Any]:
    """Streamlit's options with what the door needs."""
    return {**settings, "server.trustedUserHeaders": USER_FIELDS}


def load(settings: dict[str, Any]) -> None:
    """Before the application is made: it reads its options when it is built."""
    bootstrap.load_config_options(options(settings))


def _end(_number: int, _frame: object) -> None:
    sys.exit(0)


def _showing(address: str) -> Any:
    @asynccontextmanager
    async def lifespan(_app: App) -> AsyncGenerator[None]:
        if address:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        yield

    return lifespan
