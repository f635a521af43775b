"""A real server, and somebody who speaks its protocol and means it no good.

One server for all of these tests, because its workers take seconds to start. What must hold after each: nobody else
notices, no worker is lost or started anew, and the log has no traceback.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from pruning.execution.store.store import Store
from pruning.recipe.recipe import Recipe
from pruning.training.tuning import Tuning

LONG = Recipe("mlp_128", tuning=Tuning(epochs=1000))
ROOT = Path(__file__).parents[3]
PATIENCE_S = 60.0
PAGES = ("", "compare", "sensitivity", "search", "runs")
NAN = float("nan")
VALUES: list[tuple[str, object]] = [
    ("bool_value", True), ("int_value", -1), ("int_value", 2**62), ("double_value", NAN), ("double_value", 1e308),
    ("string_value", "\x1b[2J" + "x" * 5000), ("string_value", "̶‮\x00"), ("bytes_value", b"x"),
    ("json_value", "nonsense"), ("json_value", "[" * 3000), ("json_value", '{"edit": {"layer": ["a"], "share": "x"}}'),
    ("json_value", '{"pick": {"runs": 5}}'), ("json_value", '{"window": [NaN, 1e308, -5, "x"]}'),
    ("double_array_value", [NAN]), ("double_array_value", [1e308] * 50), ("int_array_value", [-1]),
    ("string_array_value", ["zz"] * 3), ("string_array_value", []),
]  # fmt: skip
"""What no page's control sends, by the field of the message that it is sent in."""
EDITS = [
    '[{"event":"edit","value":{"layer":"x","share":NaN,"whole":1}}]', '{"event":"edit","value":[1]}',
    '{"event":"heatmap","value":{"a":1}}', '{"event":"window","value":[NaN,1e308,-5,"x"]}',
    '{"event":"window","value":[-1,-1,-1,-1]}', '{"event":"pick","value":{"runs":5}}', "nonsense", "[]",
]  # fmt: skip


@dataclass(frozen=True)
class Server:
    address: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def workers(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "pruning", "app", "--port", str(port), "--headless"]
    environment = {**os.environ, "PRUNING_HOME": str(home), "OMP_NUM_THREADS": "1"}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            server = Server(f"http://localhost:{port}", process, home / "log")
            _wait_until_up(server)
            yield server
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
    assert process.returncode == 0  # it could still end in good order


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """The server; what happens in the test must leave it as it was."""
    workers = running.workers()
    yield running
    with session(running) as other:
        assert len(draw(other, "")) > 20
    assert running.workers() == workers
    assert "Traceback" not in running.said()


def _wait_until_up(server: Server) -> None:
    end = time.monotonic() + 2 * PATIENCE_S
    while time.monotonic() < end:
        assert server.process.poll() is None, server.said()
        with suppress(OSError), urllib.request.urlopen(f"{server.address}/_stcore/health", timeout=1):
            with session(server) as first:  # the other workers start after the first answer
                draw(first, "")
            seen: set[int] = set()
            while len(seen) < 4 or seen != server.workers():
                seen = server.workers()
                time.sleep(2)
            return
        time.sleep(0.1)
    raise AssertionError("the server is not up")


def session(server: Server) -> ClientConnection:
    stream = server.address.replace("http", "ws", 1) + "/_stcore/stream"
    return connect(stream, subprotocols=["streamlit"], max_size=None, open_timeout=PATIENCE_S)  # type: ignore[list-item]


def asked(page: str) -> BackMsg:
    message = BackMsg()
    message.rerun_script.page_name = page
    return message


def draw(socket: ClientConnection, page: str, message: BackMsg | None = None) -> list[str]:
    """The ids of the controls that one run of the page's script shows."""
    socket.send((message or asked(page)).SerializeToString())
    found: list[str] = []
    while (told := ForwardMsg.FromString(socket.recv(PATIENCE_S))).WhichOneof("type") != "script_finished":  # type: ignore[arg-type]
        if told.WhichOneof("type") == "delta" and told.delta.WhichOneof("type") == "new_element":
            element = told.delta.new_element
            found += [control] if (control := getattr(getattr(element, element.WhichOneof("type")), "id", "")) else []
            assert element.WhichOneof("type") != "exception", element.exception.message
    return found


def with_values(page: str, controls: list[str], field: str, value: object) -> BackMsg:
    """The page asked for, every control of it with this value."""
    message = asked(page)
    for control in controls:
        state = message.rerun_script.widget_states.widgets.add(id=control)
        if field.endswith("array_value"):
            getattr(state, field).data.extend(value)
            getattr(state, field).SetInParent()
        else:
            setattr(state, field, value)
    return message


@pytest.mark.parametrize("kind", ["clear_cache", "load_git_info", "set_run_on_save", "stop_script", "app_heartbeat"])
def test_a_message_of_two_bytes_costs_nobody_anything(server: Server, kind: str) -> None:
    with session(server) as hostile:
        for _ in range(20):
            hostile.send(BackMsg(**{kind: True}).SerializeToString())
        assert draw(hostile, "")  # and its own page goes on


def test_frames_that_are_no_messages_end_their_own_connection_only(server: Server) -> None:
    for frame in ("text", b"\xff\xff", b"\x08", bytes(3 * 2**20)):
        with session(server) as hostile, pytest.raises(WebSocketException):
            hostile.send(frame)
            while True:
                hostile.recv(PATIENCE_S)


def test_a_flood_ends_its_own_connection_only(server: Server) -> None:
    with session(server) as hostile, pytest.raises(WebSocketException):
        for _ in range(5000):
            hostile.send(BackMsg(app_heartbeat=True).SerializeToString())
        while True:
            hostile.recv(PATIENCE_S)


@pytest.mark.parametrize(
    "fields",
    [
        {"query_string": "\x00%%%&=;" * 1000}, {"query_string": "run=" + "x" * 50_000},
        {"query_string": "recipe=%7B%22version%22%3A1%2C%22workload%22%3A%22%1b%5B2J%22%7D"},
        {"query_string": "recipe=" + "%5B" * 3000}, {"query_string": "run=../../etc/passwd&recipe=%00"},
        {"page_script_hash": "z" * 9000}, {"page_name": "../../etc/passwd"}, {"fragment_id": "\x1b[2J"},
        {"cached_message_hashes": ["z"] * 3000}, {"is_auto_rerun": True, "fragment_id": "z"},
    ],
    ids=lambda fields: str(fields)[:40],
)  # fmt: skip
def test_an_address_of_nonsense_draws_a_page(server: Server, fields: dict[str, object]) -> None:
    message = BackMsg()
    for name, value in fields.items():
        if isinstance(value, list):
            getattr(message.rerun_script, name).extend(value)
        else:
            setattr(message.rerun_script, name, value)
    with session(server) as hostile:
        if "fragment_id" in fields:  # of a fragment that is not there nothing is drawn
            hostile.send(message.SerializeToString())
            assert draw(hostile, "")
        else:
            draw(hostile, "", message)
    assert "\x1b" not in server.said()


def test_a_browser_that_is_nowhere_and_speaks_nothing_sees_the_page(server: Server) -> None:
    message = asked("runs")
    about = message.rerun_script.context_info
    about.locale, about.timezone, about.url = "../../../etc", "../../\x00", "javascript:1"
    about.timezone_offset = 2**31 - 1
    with session(server) as hostile:
        assert draw(hostile, "runs", message)


@pytest.mark.parametrize("page", PAGES)
def test_no_value_of_a_control_harms_anybody_else(server: Server, page: str) -> None:
    with session(server) as hostile:
        controls = draw(hostile, page)
        for field, value in VALUES:  # each message has the values of all controls anew
            draw(hostile, page, with_values(page, controls, field, value))
    with session(server) as reloaded:
        assert set(controls) <= set(draw(reloaded, page))  # more, where something was found out meanwhile


def test_a_poll_that_names_no_control_draws_what_it_polls(server: Server) -> None:
    store = Store(server.log.parent)
    run, said = store.create(LONG, "somebody"), len(server.said())
    try:
        with session(server) as bare:
            bare.send(asked("runs").SerializeToString())
            polled: list[str] = []
            while (told := ForwardMsg.FromString(bare.recv(PATIENCE_S))).WhichOneof("type") != "script_finished":  # type: ignore[arg-type]
                polled += [told.auto_rerun.fragment_id] if told.WhichOneof("type") == "auto_rerun" else []
            assert polled
            for fragment in polled:
                poll = asked("runs")
                poll.rerun_script.fragment_id, poll.rerun_script.is_auto_rerun = fragment, True
                draw(bare, "runs", poll)
    finally:
        _stop(store, run)
    assert "a page failed" not in server.said()[said:]


def _stop(store: Store, run: str) -> None:
    """Wait until its worker has stopped it: one whose run is ended without it is replaced."""
    store.request_stop(run)
    end = time.monotonic() + PATIENCE_S
    while not store.run(run).over:
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.parametrize("page", ["", "runs"])
def test_nothing_that_a_component_sends_harms_anybody_else(server: Server, page: str) -> None:
    with session(server) as hostile:
        controls = draw(hostile, page)
        for sent in EDITS:
            draw(hostile, page, with_values(page, controls, "json_trigger_value", sent))
