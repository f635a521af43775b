"""Parts of a page that are asked for over HTTP, beside the page's script: an answer draws nothing else anew."""

import asyncio
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from views.entrance.door import PERSON_HEADER

PATH = "live"
MOST = 1000
"""Parts that are remembered, those that were asked for last."""
LONGEST_S = 3.0  # so long is an answer held back until there is more to say
LOOK_S = 0.2


@dataclass(frozen=True)
class News:
    """What the part shows now. `over`: that is all; `again`: the page itself has to be drawn, to say what went wrong.

    `html` is made here of numbers and escaped texts. After so many `seconds`, or once it is ready, it is worth asking
    again.
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
    ready: Callable[[], bool]


class Watches:
    """Each place of a person's pages shows one part: a newer one takes the place of the older, which is answered no more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # pages' threads put, the server's answer
        self._watches: OrderedDict[str, _Watch] = OrderedDict()
        self._at: dict[tuple[str, str], str] = {}
        """(person, place) -> the token of what is shown there."""
        self.answered = False
        """Whether a server answers what is put here. None does where the page was started by `streamlit run app.py`."""

    def put(self, person: str, place: str, news: Callable[[], News], ready: Callable[[], bool]) -> str:
        """The token by which this person's pages ask for it. `news` is called in a thread that knows no session; `ready`
        is called often, and says whether there is something that `news` did not tell when it was called last.
        """
        token = secrets.token_urlsafe(18)
        with self._lock:
            self._drop(person, place)
            self._watches[token] = _Watch(person, news, ready)
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
        watch = self._watch(person, token)
        return None if watch is None else watch.news()

    async def until_ready(self, person: str, token: str, seconds: float) -> None:
        """Wait until there is more to show, something else is shown there, or the time is over."""
        watch = self._watch(person, token)
        if watch is None:
            return
        end = time.monotonic() + min(seconds, LONGEST_S)
        while (left := end - time.monotonic()) > 0 and not watch.ready() and self._watches.get(token) is watch:
            await asyncio.sleep(min(LOOK_S, left))

    def _watch(self, person: str, token: str) -> _Watch | None:
        with self._lock:
            watch = self._watches.get(token)
            if watch is None or watch.person != person:
                return None
            self._watches.move_to_end(token)
            return watch

    def routes(self) -> list[Route]:
        """For the server's application. The door has said who asks."""
        self.answered = True
        return [Route(f"/{PATH}/{{token}}", self._answer, methods=["GET"])]

    async def _answer(self, request: Request) -> Response:
        person, token = unquote(request.headers.get(PERSON_HEADER, "")), request.path_params["token"]
        await self.until_ready(person, token, _seconds(request.query_params.get("wait", "")))
        if await request.is_disconnected():
            return Response(status_code=204)  # to nobody: a tab that was closed meanwhile asks for no more
        news = await run_in_threadpool(self.news, person, token) or NOTHING
        return JSONResponse(asdict(news), headers={"cache-control": "no-store"})

    def _drop(self, person: str, place: str) -> None:
        if (token := self._at.pop((person, place), None)) is not None:
            self._watches.pop(token, None)


def _seconds(asked: str) -> float:
    """0 where it says no time that can be waited for."""
    return float(asked) if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,20})?", asked) else 0.0


WATCHES = Watches()
"""Of this process: the pages put, the server answers."""
