"""Parts of a page that are asked for over HTTP, beside the page's script: an answer draws nothing else anew."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from views.entrance.door import PERSON_HEADER

PATH = "live"
MOST = 1000
"""Parts that are remembered, those that were asked for last."""


@dataclass(frozen=True)
class News:
    """What the part shows now. `over`: that is all; `again`: the page itself has to be drawn, to say what went wrong.

    `html` is made here of numbers and escaped texts. After so many `seconds` it is worth asking again.
    """

    html: str
    over: bool = False
    again: bool = False
    seconds: float = 0.25


NOTHING = News("", again=True)
"""What is answered where nothing is shown, or what is somebody else's."""


@dataclass(frozen=True)
class _Watch:
    person: str
    news: Callable[[], News]


class Watches:
    """Each place of a person's pages shows one part: a newer one takes the place of the older, which is answered no more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # pages' threads put, the server's answer
        self._watches: OrderedDict[str, _Watch] = OrderedDict()
        self._at: dict[tuple[str, str], str] = {}
        """(person, place) -> the token of what is shown there."""
        self.answered = False
        """Whether a server answers what is put here. None does where the page was started by `streamlit run app.py`."""

    def put(self, person: str, place: str, news: Callable[[], News]) -> str:
        """The token by which this person's pages ask for it. `news` is called in a thread that knows no session."""
        token = secrets.token_urlsafe(18)
        with self._lock:
            self._drop(person, place)
            self._watches[token] = _Watch(person, news)
            self._at[person, place] = token
            while len(self._watches) > MOST:
                oldest = next(iter(self._watches))
                self._at = {at: kept for at, kept in self._at.items() if kept != oldest}
                del self._watches[oldest]
        return token

    def drop(self, person: str, place: str) -> None:
        """Nothing is asked for at this place from now on."""
        with self._lock:
            self._drop(person, place)

    def news(self, person: str, token: str) -> News | None:
        """What there is to show; None where nothing is, or where it is somebody else's."""
        with self._lock:
            watch = self._watches.get(token)
            if watch is None or watch.person != person:
                return None
            self._watches.move_to_end(token)
        return watch.news()

    def routes(self) -> list[Route]:
        """For the server's application. The door has said who asks."""
        self.answered = True
        return [Route(f"/{PATH}/{{token}}", self._answer, methods=["GET"])]

    def _answer(self, request: Request) -> Response:
        person = unquote(request.headers.get(PERSON_HEADER, ""))
        news = self.news(person, request.path_params["token"]) or NOTHING
        return JSONResponse(asdict(news), headers={"cache-control": "no-store"})

    def _drop(self, person: str, place: str) -> None:
        if (token := self._at.pop((person, place), None)) is not None:
            self._watches.pop(token, None)


WATCHES = Watches()
"""Of this process: the pages put, the server answers."""
