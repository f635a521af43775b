"""Requests to an ASGI application without a network, and an application that says what it was told."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from views.entrance.access import Access
from views.entrance.door import OWNER_HEADER, PERSON_HEADER, Door, RememberPeer
from views.entrance.visitors import COOKIE, Visitors

SECRET = "s" * 64
FAR = "203.0.113.7"


@dataclass
class Answer:
    """What came back. Of a WebSocket `status` is 101 where it was accepted and 403 where it was closed instead."""

    status: int = 0
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    sent: list[dict[str, Any]] = field(default_factory=list)

    @property
    def told(self) -> dict[str, Any]:
        """What the application behind the door was told; {} where nothing reached it."""
        return json.loads(self.body) if self.body.startswith(b'{"told"') else {}

    @property
    def cookie(self) -> str:
        found = SimpleCookie(self.headers.get("set-cookie", ""))
        return found[COOKIE].value if COOKIE in found else ""


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request with the identity that it was told, as a page of HTML; echoes what a WebSocket receives."""
    headers = Headers(scope=scope)
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": message["bytes"]})
        return
    told = {"told": True, "person": headers.getlist(PERSON_HEADER), "owner": headers.getlist(OWNER_HEADER)}
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html; charset=utf-8")]}
    await send(start)
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


def door_of(access: Access, app: ASGIApp = behind) -> ASGIApp:
    return RememberPeer(Door(app, access, Visitors(access, SECRET)))


def ask(
    app: ASGIApp,
    path: str = "/",
    method: str = "GET",
    headers: dict[str, str] | None = None,
    cookie: str = "",
    client: str = "127.0.0.1",
    body: bytes = b"",
    scheme: str = "http",
    frames: Sequence[dict[str, Any]] = (),
    leaves: bool = False,
) -> Answer:
    """One request; of scheme `ws` one connection, which sends the frames. Who `leaves` waits for no answer."""
    route, _mark, query = path.partition("?")
    sent = {"host": "localhost:8501", "accept": "text/html", **(headers or {})}
    if cookie:
        sent["cookie"] = f"{COOKIE}={cookie}"
    websocket = scheme.startswith("ws")
    scope: Scope = {
        "type": "websocket" if websocket else "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": route,
        "raw_path": route.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("utf-8")) for name, value in sent.items()],
        "client": (client, 40_000),
        "server": ("127.0.0.1", 8501),
        "subprotocols": [],
    }
    coming = [{"type": "websocket.connect"}, *frames, {"type": "websocket.disconnect", "code": 1000}]
    if not websocket:
        # that somebody has left is what uvicorn tells first, whatever they have sent
        coming = [{"type": "http.disconnect"}] if leaves else [{"type": "http.request", "body": body}]
    return asyncio.run(_asked(app, scope, coming))


async def _asked(app: ASGIApp, scope: Scope, coming: list[dict[str, Any]]) -> Answer:
    answer = Answer()

    async def receive() -> dict[str, Any]:
        if not coming:
            await asyncio.Event().wait()  # nothing more is ever sent
        return coming.pop(0)

    async def send(message: Any) -> None:
        answer.sent.append(message)
        match message["type"]:
            case "http.response.start":
                answer.status, answer.headers = message["status"], Headers(raw=list(message["headers"]))
            case "http.response.body":
                answer.body += message.get("body", b"")
            case "websocket.accept":
                answer.status = 101
            case "websocket.close" if answer.status == 0:
                answer.status = 403

    await app(scope, receive, send)
    return answer
