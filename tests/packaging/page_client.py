"""A browser without a screen: it opens the page's connection and reads what one run of the script shows.

Run as a script, `page_client.py ADDRESS`: prints what was shown, as JSON. It imports Streamlit, and nothing of ours.
"""

import json
import sys
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

PATIENCE_S = 120.0


def first_script_run(address: str) -> dict[str, Any]:
    """The theme's colour, the kinds of elements shown, and the texts of exceptions, until the script is finished."""
    seen: dict[str, Any] = {"colour": "", "elements": [], "exceptions": [], "finished": False}
    stream = address.replace("http", "ws", 1) + "/_stcore/stream"
    with connect(stream, subprotocols=["streamlit"], max_size=None, open_timeout=PATIENCE_S) as socket:  # type: ignore[list-item]
        ask = BackMsg()
        ask.rerun_script.query_string = ""
        socket.send(ask.SerializeToString())
        while not seen["finished"]:
            message = ForwardMsg.FromString(socket.recv(PATIENCE_S))  # type: ignore[arg-type]
            _note(message, seen)
    return seen


def _note(message: ForwardMsg, seen: dict[str, Any]) -> None:
    kind = message.WhichOneof("type")
    if kind == "new_session":
        seen["colour"] = message.new_session.custom_theme.light.primary_color
    elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
        element = message.delta.new_element
        shown = element.WhichOneof("type")
        seen["elements"].append(element.bidi_component.component_name if shown == "bidi_component" else shown)
        if shown == "exception":
            seen["exceptions"].append(element.exception.message)
    elif kind == "script_finished":
        seen["finished"] = True


if __name__ == "__main__":
    print(json.dumps(first_script_run(sys.argv[1])))
