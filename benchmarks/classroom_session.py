"""One student without a browser: speaks the page's own protocol over its WebSocket, as a browser does."""

import asyncio
import json
import re
import time
import urllib.request
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.error import HTTPError
from urllib.parse import quote

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

CACHED_FROM = 10_000  # bytes from which a browser is not sent again what it has
WATCHED = "the strip"
RETRY_S, PAUSE_S = 2.0, 0.1  # as watch.js
KEPT = re.compile(r"kept [^<]*")
ESTIMATED = re.compile(r"estimated [\d.]")
MEASURED = re.compile(r"measured [\d.]")


@dataclass
class Waits:
    """Seconds from a slider's release until the page shows each thing; None as long as it has not."""

    released: float
    kept_before: str
    sizes: float | None = None
    estimate: float | None = None
    measured: float | None = None

    def look(self, strip: str) -> None:
        now = time.monotonic() - self.released
        kept = KEPT.search(strip)
        if self.sizes is None and kept is not None and kept[0] != self.kept_before:
            self.sizes = now
        if self.sizes is None:
            return
        known = MEASURED.search(strip)
        if self.estimate is None and (known or ESTIMATED.search(strip)):
            self.estimate = now
        if self.measured is None and known:
            self.measured = now


@dataclass(eq=False)
class Student:
    """A session of the page. Made by `Student.arrive`; `leave` closes it as a closed tab does."""

    connection: ClientConnection
    query: str
    address: str
    cookie: str
    strip: str = ""
    """The HTML of the strip as it was drawn last."""
    errors: list[str] = field(default_factory=list[str])
    """Whatever the page said in a red box."""
    slider: str = ""
    """The id of the slider that is moved."""
    part: str = ""
    """The part of the page that a move draws alone."""
    waits: Waits | None = None
    _label: str = "share"
    _values: dict[str, float] = field(default_factory=dict[str, float])
    _hashes: set[str] = field(default_factory=set[str])
    _page: str = ""
    _polls: dict[str, asyncio.Task[None]] = field(default_factory=dict[str, "asyncio.Task[None]"])
    _reading: asyncio.Task[None] | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def arrive(cls, address: str, recipe: str, page: str = "", cookie: str = "") -> Self:
        """Open a page at `address` (http://...) with a link to the recipe, given as JSON.

        As a browser that comes for the first time, or as the one that has the `cookie`.
        """
        cookie = cookie or await asyncio.to_thread(_given_cookie, address)
        socket = address.replace("http", "ws", 1) + "/_stcore/stream"
        connection = await connect(
            socket,
            subprotocols=[Subprotocol("streamlit")],
            max_size=None,
            additional_headers={"Cookie": cookie},
            origin=Origin(address),
            ping_interval=None,
        )
        student = cls(connection, f"recipe={quote(recipe)}", address, cookie)
        student._reading = asyncio.create_task(student._read())
        await student._rerun(page=page)
        return student

    async def leave(self) -> None:
        self._stop_polls()
        if self._reading is not None:
            self._reading.cancel()
        await self.connection.close()

    async def move(self, value: float) -> Waits:
        """Release the slider at a value. What it returns is filled in as the page answers."""
        kept = KEPT.search(self.strip)
        self.waits = Waits(time.monotonic(), kept[0] if kept else "")
        self._values[self.slider] = value
        await self._rerun(self.part)
        return self.waits

    async def until(self, what: str, seconds: float) -> bool:
        """Wait until the last move has been answered so far; False if that takes longer."""
        end = time.monotonic() + seconds
        while self.waits is not None and getattr(self.waits, what) is None:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), max(end - time.monotonic(), 0.001))
            except TimeoutError:
                if time.monotonic() >= end:
                    return False
        return True

    async def until_shown(self, seconds: float) -> bool:
        """Wait until the page, as it was opened, shows a first accuracy."""
        end = time.monotonic() + seconds
        while not ((MEASURED.search(self.strip) or ESTIMATED.search(self.strip)) and self.slider):
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.05)
        return True

    async def _rerun(self, fragment: str = "", by_itself: bool = False, page: str = "") -> None:
        message = BackMsg()
        state = message.rerun_script
        state.query_string = self.query
        state.page_script_hash = self._page
        state.page_name = page
        state.cached_message_hashes.extend(self._hashes)
        if fragment:
            state.fragment_id, state.is_auto_rerun = fragment, by_itself
        for name, value in self._values.items():
            widget = state.widget_states.widgets.add()
            widget.id = name
            widget.double_array_value.data.append(value)
        await self.connection.send(message.SerializeToString())

    async def _read(self) -> None:
        async for text in self.connection:
            message = ForwardMsg()
            message.ParseFromString(text if isinstance(text, bytes) else text.encode())
            if message.metadata.cacheable and message.hash and len(text) >= CACHED_FROM:
                self._hashes.add(message.hash)
            self._take(message)

    def _take(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "new_session" and not message.metadata.run.fragment_ids:
            self._page = message.new_session.page_script_hash
            self._stop_polls()
        elif kind == "auto_rerun":
            self._poll(message.auto_rerun.fragment_id, message.auto_rerun.interval)
        elif kind == "stop_auto_rerun":
            for fragment in message.stop_auto_rerun.fragment_ids:
                self._end_poll(fragment)
        elif kind == "delta":
            self._draw(message.delta.new_element, message.delta.fragment_id)

    def _draw(self, element: Any, part: str) -> None:
        kind = element.WhichOneof("type")
        if kind == "html" and 'class="strip' in element.html.body:
            self._end_poll(WATCHED)
            self._show(element.html.body)
        elif kind == "bidi_component" and element.bidi_component.component_name.endswith("pruning_watch"):
            (watch,) = json.loads(element.bidi_component.json)
            self._start(WATCHED, self._look(watch["path"], watch["token"], watch["seconds"]))
        elif kind == "slider" and element.slider.label == self._label:
            self.slider, self.part = element.slider.id, part
        elif kind == "alert" and element.alert.format == element.alert.ERROR:
            self.errors.append(element.alert.body)
        elif kind == "exception":
            self.errors.append(element.exception.message)

    def _show(self, strip: str) -> None:
        self.strip = strip
        if self.waits is not None:
            self.waits.look(strip)
        self._changed.set()

    async def _look(self, path: str, token: str, seconds: float) -> None:
        """Ask for the strip over HTTP, as watch.js does."""
        while True:
            await asyncio.sleep(min(PAUSE_S, seconds))
            wait = max(seconds - PAUSE_S, 0.0)
            news = await asyncio.to_thread(_asked, f"{self.address}/{path}/{token}?wait={wait:.3f}", self.cookie)
            if news is None or news["again"]:
                await asyncio.sleep(RETRY_S)
                await self._rerun()
                return
            self._show(news["html"])
            if news["over"]:
                return
            seconds = news["seconds"]

    def _poll(self, fragment: str, seconds: float) -> None:
        self._start(fragment, self._every(fragment, seconds))

    def _start(self, name: str, asking: Coroutine[None, None, None]) -> None:
        self._end_poll(name)
        self._polls[name] = asyncio.create_task(asking)

    async def _every(self, fragment: str, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            await self._rerun(fragment, by_itself=True)

    def _end_poll(self, fragment: str) -> None:
        if (task := self._polls.pop(fragment, None)) is not None:
            task.cancel()

    def _stop_polls(self) -> None:
        for fragment in list(self._polls):
            self._end_poll(fragment)


def _given_cookie(address: str) -> str:
    """The cookie by which the server knows a browser that comes for the first time."""
    asked = urllib.request.Request(address, headers={"Accept": "text/html"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return "; ".join(value.partition(";")[0] for value in answer.headers.get_all("set-cookie", []))


def _asked(address: str, cookie: str) -> dict[str, Any] | None:
    """What there is to show; None where it is asked for no more."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers={"Cookie": cookie}), timeout=60) as answer:
            return json.load(answer)
    except HTTPError:
        return None
