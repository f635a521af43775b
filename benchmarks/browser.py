"""A server and a Chromium for what a person waits for: the same as the browser tests use."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page

from tests.browser.conftest import chromium, serving


@contextmanager
def opened() -> Generator[tuple[str, Page]]:
    """The address of a fresh server and a page that shows nothing yet."""
    with TemporaryDirectory() as home, serving(Path(home)) as address, chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        yield address, page
