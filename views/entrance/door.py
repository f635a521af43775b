"""The door: every request and every WebSocket passes here before Streamlit sees it."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from views.entrance import sign_in
from views.entrance.access import Access, is_loopback
from views.entrance.cookies import set_cookie
from views.entrance.frames import Connection
from views.entrance.headers import protect
from views.entrance.presence import PRESENCE
from views.entrance.sign_in import SIGN_IN, SIGN_OUT
from views.entrance.tries import Tries
from views.entrance.visitors import COOKIE, Visitor, Visitors

PERSON_HEADER, OWNER_HEADER = "x-pruning-person", "x-pruning-owner"
"""By which Streamlit is told who comes. What a browser sends under these names is dropped."""
USER_FIELDS = {PERSON_HEADER: "person", OWNER_HEADER: "owner"}
"""Streamlit's `server.trustedUserHeaders`: the fields of `st.user` that they become."""
PEER = "pruning.peer"
ONLY_HERE = ("/_stcore/metrics", "/_stcore/script-health-check", "/_stcore/agent")
ALSO_HERE = ("/_stcore/health",)
"""Answered to this machine too without a password: whoever watches the server asks there."""
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


class RememberPeer:
    """Keeps the address that a connection really comes from, before a proxy's word for it takes its place."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            scope[PEER] = (scope.get("client") or ("", 0))[0]
        await self._app(scope, receive, send)


class Proxies:
    """The addresses and networks whose headers are believed."""

    def __init__(self, names: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(name) for name in names]

    def __contains__(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)


@dataclass(frozen=True)
class Caller:
    """A visitor, with what the door found out about the connection."""

    visitor: Visitor
    address: str
    encrypted: bool
    from_here: bool


class Door:
    """Finds out who comes, lets in whoever may, and tells Streamlit who it is."""

    def __init__(self, app: ASGIApp, access: Access, visitors: Visitors) -> None:
        self._app = app
        self._access = access
        self._visitors = visitors
        self._proxies = Proxies(access.proxies)
        self._tries = Tries()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        caller = self._caller(connection)
        answering = self._answering(connection, caller, send)
        refusal = await self._refusal(connection, caller, receive)
        if refusal is not None and scope["type"] == "http":
            await refusal(scope, receive, answering)
        elif refusal is not None:
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
        else:
            scope["headers"] = [*_foreign(connection.headers), *_told(caller.visitor)]
            if scope["type"] == "websocket":
                person = caller.visitor.person
                socket = Connection(receive, send, caller.address, heard=lambda: PRESENCE.heard(person))
                with PRESENCE.page(person):
                    await self._app(scope, socket.receive, socket.send)
            else:
                await self._app(scope, receive, answering)

    async def _refusal(self, connection: HTTPConnection, caller: Caller, receive: Receive) -> Response | None:
        """What is answered in Streamlit's place; None where the request may pass."""
        path = connection.scope["path"]
        if self._access.own_machine and not _of_this_machine(connection.headers.get("host", "")):
            return PlainTextResponse("This server is for its own machine. Open it as http://localhost there.\n", 421)
        if _below(path, ONLY_HERE) and not caller.from_here:
            return PlainTextResponse("This is answered on the machine itself alone.\n", 403)
        if path in (SIGN_IN, SIGN_OUT) and connection.scope["type"] == "http":
            return await sign_in.answer(
                connection.scope, receive, self._visitors, self._tries, caller.address, caller.encrypted
            )
        if caller.visitor.admitted or (_below(path, (*ONLY_HERE, *ALSO_HERE)) and caller.from_here):
            return None
        if connection.scope.get("method") == "GET" and "text/html" in connection.headers.get("accept", ""):
            return sign_in.to_sign_in(connection)
        return PlainTextResponse("Sign in first.\n", 401)

    def _caller(self, connection: HTTPConnection) -> Caller:
        headers = connection.headers
        address = connection.client.host if connection.client else ""
        peer = str(connection.scope.get(PEER, address))
        from_here = is_loopback(peer) and is_loopback(address) and not any(name in headers for name in _FORWARDED)
        said = ""
        if self._access.header and peer in self._proxies:
            said = _utf8(headers.get(self._access.header, ""))
        visitor = self._visitors.visitor(connection.cookies.get(COOKIE, ""), said, from_here)
        return Caller(visitor, address, connection.scope["scheme"] in ("https", "wss"), from_here)

    def _answering(self, connection: HTTPConnection, caller: Caller, send: Send) -> Send:
        """`send`, with the headers of every answer, and a cookie on the page itself where the browser has none: what
        the page loads comes after it.
        """

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                protect(headers)
                unchanged = message["status"] == 304 and "text/html" in connection.headers.get("accept", "")
                is_page = unchanged or headers.get("content-type", "").startswith("text/html")
                given = any(value.startswith(f"{COOKIE}=") for value in headers.getlist("set-cookie"))
                if is_page and caller.visitor.renew and caller.visitor.admitted and not given:
                    fresh = self._visitors.cookie(connection.cookies.get(COOKIE, ""))
                    headers.append("set-cookie", set_cookie(fresh, caller.encrypted))
            await send(message)

        return answer


def _below(path: str, places: Sequence[str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def _of_this_machine(host: str) -> bool:
    """Whether a browser asks for this machine by its own name: another site's name may lead here too."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or name.endswith(".localhost") or is_loopback(name)


def _foreign(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The browser's own headers."""
    return [(name, value) for name, value in headers.raw if name.decode("latin-1").lower() not in USER_FIELDS]


def _told(visitor: Visitor) -> list[tuple[bytes, bytes]]:
    owner = [(OWNER_HEADER.encode(), b"yes")] if visitor.owner else []
    return [(PERSON_HEADER.encode(), quote(visitor.person).encode()), *owner]


def _utf8(value: str) -> str:
    """A header's text as proxies write it: UTF-8 that was read as Latin-1."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value
