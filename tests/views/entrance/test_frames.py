"""What comes in through a page's WebSocket: messages that pages send, and nothing that ends in a traceback."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.proto.BackMsg_pb2 import BackMsg

from pruning.errors import PruningError
from tests.views.entrance.asking import ask, door_of
from views.entrance import faults, frames
from views.entrance.access import Access
from views.entrance.faults import FROM_MESSAGES, Faults, OneLine, keep_the_log_short
from views.entrance.frames import ANSWERED, AT_ONCE, Pace


def message(**fields: object) -> bytes:
    made = BackMsg()
    for name, value in fields.items():
        setattr(made, name, value)
    return made.SerializeToString()


def passed(*sent: bytes | str) -> tuple[list[bytes], list[int]]:
    """What of the frames reaches the application, and the codes with which the connection is ended."""
    coming = [
        {"type": "websocket.receive", "bytes": frame} if isinstance(frame, bytes) else
        {"type": "websocket.receive", "text": frame}
        for frame in sent
    ]  # fmt: skip
    answer = ask(door_of(Access()), "/_stcore/stream", scheme="ws", frames=coming)
    through = [each["bytes"] for each in answer.sent if each["type"] == "websocket.send"]
    return through, [each["code"] for each in answer.sent if each["type"] == "websocket.close"]


def test_what_the_pages_send_passes_as_it_is() -> None:
    ask_again = BackMsg()
    ask_again.rerun_script.query_string = "run=7f-1"
    sent = [ask_again.SerializeToString(), message(stop_script=True), message(app_heartbeat=True)]
    assert passed(*sent) == (sent, [])


@pytest.mark.parametrize(
    "sent",
    [
        {"clear_cache": True}, {"load_git_info": True}, {"set_run_on_save": True}, {"debug_shutdown_runtime": True},
        {"debug_disconnect_websocket": True}, {},
    ],
)  # fmt: skip
def test_what_no_page_sends_is_left_out_and_the_page_goes_on(sent: dict[str, bool]) -> None:
    again = message(stop_script=True)
    assert passed(message(**sent), again) == ([again], [])


def test_every_kind_of_message_was_thought_of() -> None:
    """A new version of Streamlit may bring one."""
    left_out = {
        "clear_cache", "load_git_info", "set_run_on_save", "debug_shutdown_runtime", "debug_disconnect_websocket",
        "backend_operation_request",
    }  # fmt: skip
    kinds = {field.name for field in BackMsg.DESCRIPTOR.oneofs_by_name["type"].fields}
    assert kinds == ANSWERED | left_out


def test_text_and_nonsense_end_the_connection() -> None:
    again = message(stop_script=True)
    assert passed("hello", again) == ([], [1003])
    assert passed(b"\xff\xff", again) == ([], [1002])


def test_too_many_values_end_the_connection() -> None:
    asked = BackMsg()
    for _ in range(frames.MOST_VALUES + 1):
        asked.rerun_script.widget_states.widgets.add()
    assert passed(asked.SerializeToString()) == ([], [1009])


def test_thousands_of_messages_end_the_connection() -> None:
    through, codes = passed(*[message(app_heartbeat=True)] * 1000)
    assert AT_ONCE <= len(through) < 1000 and codes == [1008]


@given(st.lists(st.floats(0, 10), max_size=60))
def test_a_pace_never_lets_more_through_than_it_says(steps: list[float]) -> None:
    at = [0.0]
    pace = Pace(5, 2, lambda: at[0])
    through = 0
    for step in steps:
        at[0] += step
        through += pace.takes()
    assert through <= 5 + 2 * at[0]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(faults.st, "error", said.append)
    return said


def failed(error: Exception) -> Exception:
    try:
        raise error
    except Exception as raised:
        return raised


def test_a_page_that_fails_is_a_sentence_a_line_and_details_once(tmp_path, shown, caplog) -> None:
    told = Faults(tmp_path)
    for _ in range(3):
        assert told(failed(KeyError("None")))
    assert len(shown) == 3 and "Load it again" in shown[0] and "KeyError" not in shown[0]
    said = [record.getMessage() for record in caplog.records if record.name == faults.__name__]
    assert len(said) == 1 and "KeyError" in said[0] and "Traceback" not in caplog.text
    assert (tmp_path / "page-faults.log").read_text().count("Traceback") == 1


def test_what_a_person_can_put_right_is_said_as_it_is(tmp_path, shown) -> None:
    assert Faults(tmp_path)(PruningError("choose another"))
    assert shown == ["choose another"] and not list(tmp_path.iterdir())


def test_details_that_cannot_be_written_are_no_second_fault(tmp_path, shown, caplog) -> None:
    (tmp_path / "page-faults.log").mkdir()
    assert Faults(tmp_path)(failed(KeyError("None"))) and "cannot be written" in caplog.text


def test_what_messages_bring_about_is_one_line_each_and_few(capfd: pytest.CaptureFixture[str]) -> None:
    keep_the_log_short()
    keep_the_log_short()
    logger = logging.getLogger(FROM_MESSAGES[0])
    assert len([each for each in logger.filters if isinstance(each, OneLine)]) == 1
    only = OneLine()
    kept = []
    for _ in range(500):
        record = logging.LogRecord("x", logging.WARNING, "f", 1, "odd %s", ("\x1b[2Jvalue",), None)
        try:
            raise ValueError("no\nnumber")
        except ValueError as error:
            record.exc_info = (ValueError, error, error.__traceback__)
        kept += [record] if only.filter(record) else []
    text = logging.Formatter().format(kept[0])
    assert text == "odd ␛[2Jvalue: ValueError: no number" and len(kept) < 100


def test_streamlits_own_traceback_of_a_page_is_left_out() -> None:
    record = logging.LogRecord("streamlit.error_util", logging.ERROR, "f", 1, "Uncaught app execution", (), None)
    assert not OneLine().filter(record)


def test_of_the_servers_operations_only_a_download_that_is_made_on_its_click_comes_through() -> None:
    download, skills = BackMsg(), BackMsg()
    download.backend_operation_request.deferred_file.SetInParent()
    skills.backend_operation_request.install_skills.SetInParent()
    again = message(stop_script=True)
    assert passed(download.SerializeToString()) == ([download.SerializeToString()], [])
    assert passed(skills.SerializeToString(), again) == ([again], [])
