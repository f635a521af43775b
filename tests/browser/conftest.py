"""A real server and a real Chromium for the browser tests. In CI a missing browser is a failure, elsewhere a skip."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, ViewportSize, expect, sync_playwright

from pruning.recipe.recipe import Recipe, to_json
from tests.browser.chromium import find

ROOT = Path(__file__).parents[2]
WIDE = ViewportSize(width=1440, height=1300)
expect.set_options(timeout=30_000)  # a busy machine is slow, not wrong


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(home: Path, module: str = "views", environment: Mapping[str, str] = {}) -> Iterator[str]:
    """The address of the app, started as `make run` starts it, or of another module that serves a page."""
    port = free_port()
    command = [sys.executable, "-m", module, "--port", str(port), "--headless"]
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PRUNING_HOME": str(home), **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            address = f"http://localhost:{port}"
            _wait_until_up(f"{address}/_stcore/health", server)
            yield address
        finally:
            server.terminate()
            server.wait(20)


def _wait_until_up(address: str, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(1200):
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return
        except OSError:
            assert server.poll() is None, "the server ended while it started: see server.log in its home"
            time.sleep(0.1)
    raise AssertionError("the server is not up after two minutes")


@contextmanager
def chromium() -> Iterator[BrowserContext]:
    """A headless Chromium that talks to nobody but the test.

    With a profile of its own it keeps the compiled scripts of the page: opening a page again takes half the time.
    """
    path = find()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium for the browser tests; `make browser` installs one")
        pytest.skip("no Chromium; `make browser` installs one")
    with TemporaryDirectory() as profile, sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            viewport=WIDE,
            accept_downloads=True,
            locale="en-GB",
        )
        browser.set_default_timeout(30_000)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("home")) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[BrowserContext]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    """A fresh session, 1440 pixels wide. Errors that the browser reports fail the test."""
    opened = browser.new_page()
    errors: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        # a page opened by its own address asks for the server below that address first: Streamlit's way, and a 404
        probe = "/_stcore/" in str(message.location.get("url", ""))
        if message.type == "error" and "favicon" not in message.text and not probe:
            errors.append(message.text)

    opened.on("console", hear)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    opened.close()
    assert not errors, errors


def address_of(app: str, recipe: Recipe) -> str:
    """The page with this recipe in its controls."""
    return f"{app}/?recipe={quote(to_json(recipe))}"
