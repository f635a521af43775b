"""What may come in through a page's WebSocket: the messages that our pages send, no larger and no more often."""

import logging
import time
from collections.abc import Callable

from google.protobuf.message import DecodeError
from starlette.types import Message, Receive, Send
from streamlit.proto.BackMsg_pb2 import BackMsg

ANSWERED = frozenset({"rerun_script", "stop_script", "app_heartbeat", "file_urls_request"})
"""The messages that the pages need. The others clear the server's caches, call git, or are for Streamlit's own tests."""
AT_ONCE, A_SECOND = 200.0, 40.0
"""So many messages may come at once, and then so many a second: a hand on a slider sends ten."""
MOST_VALUES = 2000
LONGEST_ADDRESS = 100_000

log = logging.getLogger(__name__)


def _asks_for_a_file(told: BackMsg) -> bool:
    """Whether it is the click on a download that is made only then; other operations of the server are not ours."""
    if told.WhichOneof("type") != "backend_operation_request":
        return False
    return told.backend_operation_request.WhichOneof("payload") == "deferred_file"


class Pace:
    """How often somebody may do something: a bucket that fills again with time."""

    def __init__(self, at_once: float, a_second: float, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._most, self._a_second = at_once, a_second
        self._left, self._at = at_once, now()

    def takes(self) -> bool:
        """Whether there is one left, which is then taken."""
        at = self._now()
        self._left = min(self._left + (at - self._at) * self._a_second, self._most)
        self._at = at
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Connection:
    """`receive` and `send` of one WebSocket. What no page sends is left out; what no browser sends ends it."""

    def __init__(self, receive: Receive, send: Send, address: str, heard: Callable[[], None] = lambda: None) -> None:
        """`heard` is told of every message that Streamlit sees."""
        self._heard = heard
        self._receive = receive
        self._send = send
        self._address = address
        self._pace = Pace(AT_ONCE, A_SECOND)
        self._closed = False

    async def receive(self) -> Message:
        """The next message that Streamlit may see."""
        while True:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                return message
            code, why = self._fault(message.get("bytes"))
            if code:
                return await self._end(code, why)
            if not why:
                self._heard()
                return message

    async def send(self, message: Message) -> None:
        if not self._closed:  # Streamlit does not know yet
            await self._send(message)

    def _fault(self, frame: bytes | None) -> tuple[int, str]:
        """What is wrong with a frame: the code that the connection is ended with, 0 = it is only left out."""
        if not self._pace.takes():
            return 1008, "it sends too much"
        if frame is None:
            return 1003, "it sends text"
        told = BackMsg()
        try:
            told.ParseFromString(frame)
        except DecodeError:
            return 1002, "it sends what is no message"
        if told.WhichOneof("type") not in ANSWERED and not _asks_for_a_file(told):
            return 0, "no page of ours sends it"
        asked = told.rerun_script
        if len(asked.widget_states.widgets) > MOST_VALUES or len(asked.query_string) > LONGEST_ADDRESS:
            return 1009, "it sends more values than a page has"
        return 0, ""

    async def _end(self, code: int, why: str) -> Message:
        log.warning("ended the connection of %s: %s", self._address, why)
        await self._send({"type": "websocket.close", "code": code, "reason": ""})
        self._closed = True
        return {"type": "websocket.disconnect", "code": code, "reason": ""}
