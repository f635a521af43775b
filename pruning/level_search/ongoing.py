"""A search that is carried on a little at a time, for a page that asks again and again."""

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

from pruning.level_search.engine import Search
from pruning.level_search.result import Searched

MOST_BYTES = 512 * 2**20


@dataclass(eq=False)
class OngoingSearch:
    """`steps` is what `engine.steps` gives. After an error it is over, and raises the same again."""

    steps: Generator[Searched | None, None, Search]
    _search: Search | None = field(init=False, default=None)
    _found: Searched | None = field(init=False, default=None)
    _failed: Exception | None = field(init=False, default=None)

    @property
    def most_bytes(self) -> int:
        """Of memory: a few copies of the network, and the probabilities of all samples."""
        return MOST_BYTES

    def advance(self, seconds: float) -> Searched | None:
        """Go on for about so many seconds; None until something is known."""
        if self._failed is not None:
            raise self._failed
        ends = time.monotonic() + seconds
        while self._found is None or not self._found.done:
            try:
                self._found = next(self.steps) or self._found
            except StopIteration as end:
                self._search = end.value
                self._found = end.value.state("")
            except Exception as error:
                self._failed = error
                raise
            if time.monotonic() >= ends:
                break
        return self._found

    def verify(self, shares: Mapping[str, float]) -> Searched | None:
        """Measure one more cut once the search is over: what a page had only an estimate of."""
        found = self.advance(0.0)
        if self._search is not None and all(point.shares != shares for point in self._search.measured):
            self._search.measure(shares)
            self._found = found = self._search.state("")
        return found
