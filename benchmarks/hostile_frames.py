"""Frames that no page of ours sends, at a real server: nobody else may notice."""

import json
import logging
import random
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from benchmarks import hostile_links
from benchmarks.report import Report, Target
from tests.browser.conftest import serving
from tests.packaging.page_client import first_script_run
from tests.views.entrance.test_protocol import EDITS, PAGES, VALUES

FRAMES = 10_000
A_CONNECTION = 150  # a flood is ended, which is another test
LOOK_EVERY = 500
PATIENCE_S = 30.0
OTHERS = [kind for kind in BackMsg.DESCRIPTOR.oneofs_by_name["type"].fields if kind.name != "rerun_script"]


def measure(frames: int = FRAMES) -> Report:
    """So many frames; every 500 somebody else opens the page, and the processes are counted."""
    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # it tells of every connection that the server ends
    chance, ended = random.Random(0), Counter[str]()
    slowest = lost = tracebacks = 0.0
    with TemporaryDirectory() as home, serving(Path(home)) as address:
        server = psutil.Process().children()[0]
        first_script_run(address)
        time.sleep(PATIENCE_S)  # all workers are there
        workers = {process.pid for process in server.children(recursive=True)}
        controls = _controls(address)
        socket: ClientConnection | None = None
        for number in range(frames):
            if socket is None or number % A_CONNECTION == 0:
                if socket is not None:
                    socket.close()
                socket = _opened(address)
            kind = chance.choice(list(_KINDS))
            try:
                socket.send(_KINDS[kind](chance, controls))
            except WebSocketException:
                ended[kind] += 1
                socket = None
            if number % LOOK_EVERY == LOOK_EVERY - 1:
                began = time.monotonic()
                seen = first_script_run(address)
                slowest = max(slowest, time.monotonic() - began)
                tracebacks += len(seen["exceptions"])
                lost += len(workers - {process.pid for process in server.children(recursive=True)})
                workers = {process.pid for process in server.children(recursive=True)}
        tracebacks += (Path(home) / "server.log").read_text(errors="replace").count("Traceback")
        server_lives = server.is_running()
    figures = {
        "frames": float(frames),
        "connections ended": float(ended.total()),
        "servers and workers lost": lost + (not server_lives),
        "tracebacks": tracebacks,
        "somebody else's page, slowest (s)": slowest,
    }
    return Report(figures, {"servers and workers lost": Target(at_most=0), "tracebacks": Target(at_most=0)})


def _opened(address: str) -> ClientConnection:
    stream = address.replace("http", "ws", 1) + "/_stcore/stream"
    return connect(stream, subprotocols=["streamlit"], max_size=None, open_timeout=PATIENCE_S)  # type: ignore[list-item]


def _controls(address: str) -> list[str]:
    """The ids of the controls that the pages show."""
    from tests.views.entrance.test_protocol import draw

    found: list[str] = []
    for page in PAGES:
        with suppress(WebSocketException), _opened(address) as socket:
            found += draw(socket, page)
    return found


def _asked(chance: random.Random) -> BackMsg:
    message = BackMsg()
    message.rerun_script.page_name = chance.choice(PAGES)
    return message


def _noise(chance: random.Random, _controls: list[str]) -> bytes:
    return chance.randbytes(chance.randint(0, 2000))


def _text(chance: random.Random, _controls: list[str]) -> str:
    return hostile_links.name(chance).encode("utf-8", "replace").decode()


def _large(chance: random.Random, _controls: list[str]) -> bytes:
    return bytes(chance.randint(10**5, 3 * 10**6))


def _another_kind(chance: random.Random, _controls: list[str]) -> bytes:
    message, field = BackMsg(), chance.choice(OTHERS)
    if field.message_type is not None:
        getattr(message, field.name).SetInParent()
    elif field.cpp_type == field.CPPTYPE_STRING:
        setattr(message, field.name, "x")
    else:
        setattr(message, field.name, True)
    return message.SerializeToString()


def _link(chance: random.Random, _controls: list[str]) -> bytes:
    message = _asked(chance)
    message.rerun_script.query_string = f"recipe={hostile_links.link(chance)}".encode("utf-8", "replace").decode()
    return message.SerializeToString()


def _values(chance: random.Random, controls: list[str]) -> bytes:
    message = _asked(chance)
    for control in chance.sample(controls, min(len(controls), 30)):
        state: Any = message.rerun_script.widget_states.widgets.add(id=control)
        field, value = chance.choice(VALUES)
        if field.endswith("array_value"):
            getattr(state, field).data.extend(value)
        else:
            setattr(state, field, value)
    return message.SerializeToString()


def _sent_by_a_component(chance: random.Random, controls: list[str]) -> bytes:
    message = _asked(chance)
    for control in chance.sample(controls, min(len(controls), 10)):
        sent = chance.choice([*EDITS, json.dumps([{"event": "again", "value": hostile_links.name(chance)}])])
        message.rerun_script.widget_states.widgets.add(id=control).json_trigger_value = sent
    return message.SerializeToString()


def _flipped(chance: random.Random, controls: list[str]) -> bytes:
    """A message as a page sends it, with bytes changed."""
    frame = bytearray(_values(chance, controls))
    for _ in range(chance.randint(1, 8)):
        frame[chance.randrange(len(frame))] = chance.randrange(256)
    return bytes(frame)


_KINDS = {
    "noise": _noise,
    "text": _text,
    "large": _large,
    "another kind": _another_kind,
    "link": _link,
    "values": _values,
    "sent by a component": _sent_by_a_component,
    "flipped": _flipped,
}
