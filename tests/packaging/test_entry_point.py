"""What `pruning-explorer` says where a package is missing, and how it starts the page."""

import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from pruning.__main__ import command_line, main
from tests.packaging.installed import ROOT
from views import launch, window

WITHOUT = """
import sys
sys.modules[{missing!r}] = None  # as if it were not installed
from pruning.__main__ import main
main({arguments!r})
"""


@pytest.mark.parametrize(
    "missing, arguments, extra",
    [("typer", ["models"], "app"), ("rich", ["models"], "app"), ("streamlit", ["app", "--headless"], "app")],
)
def test_a_missing_package_is_a_sentence_with_the_way_out(missing: str, arguments: list[str], extra: str) -> None:
    code = WITHOUT.format(missing=missing, arguments=arguments)
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr == (
        f"error: this command needs {missing}, which is not installed; run pip install 'pruning-explorer[{extra}]'\n"
    )


def test_a_missing_module_of_our_own_is_not_taken_for_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pruning.cli.app", None)
    with pytest.raises(ModuleNotFoundError):
        main(["models"])


def test_a_port_in_use_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            main(["app", "--port", str(port)])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: port {port} is in use; ")


def test_an_address_of_another_machine_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNING_PASSWORD", "open sesame")
    result = CliRunner().invoke(command_line(), ["app", "--host", "192.0.2.1", "--port", "8600"])
    assert result.exit_code == 2 and "--host 192.0.2.1 is no address of this machine" in result.stderr


def test_without_a_password_no_other_machine_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRUNING_PASSWORD", raising=False)
    result = CliRunner().invoke(command_line(), ["app", "--host", "0.0.0.0"])
    assert result.exit_code == 2 and "set PRUNING_PASSWORD to a class code" in result.stderr


def test_a_window_is_for_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webview", window_library([]))
    result = CliRunner().invoke(command_line(), ["app", "--window", "--host", "0.0.0.0"])
    assert result.exit_code == 2 and "--window is for this machine alone" in result.stderr


def test_a_port_that_does_not_exist_is_refused() -> None:
    assert CliRunner().invoke(command_line(), ["app", "--port", "70000"]).exit_code == 2


def test_settings_have_their_full_names() -> None:
    found = launch.settings()
    assert found["server.fileWatcherType"] == "none" and found["theme.light.primaryColor"] == "#0072B2"
    assert not any(isinstance(value, dict) for value in found.values())


def test_without_pywebview_a_window_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webview", None)
    result = CliRunner().invoke(command_line(), ["app", "--window"])
    assert result.exit_code == 2
    assert "pip install 'pruning-explorer[desktop]'" in result.stderr


class Server:
    """A server process that is up at once, and notes that it was ended."""

    ended = False

    def poll(self) -> None:
        return None

    def terminate(self) -> None:
        self.ended = True

    def wait(self, timeout: float | None = None) -> int:
        assert self.ended
        return 0


class WebViewError(Exception):
    """Stands for pywebview's own."""


def window_library(opened: list[str], start: Exception | None = None) -> SimpleNamespace:
    def begin() -> None:
        if start is not None:
            raise start

    return SimpleNamespace(
        create_window=lambda title, address, **size: opened.append(f"{title} {address}"),
        start=begin,
        errors=SimpleNamespace(WebViewException=WebViewError),
    )


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(window, "_start", lambda port: made)
    monkeypatch.setattr(window, "_wait_until_up", lambda port, server: None)
    return made


def test_the_window_shows_the_page_and_closing_it_ends_the_server(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setitem(sys.modules, "webview", window_library(opened))
    assert CliRunner().invoke(command_line(), ["app", "--window", "--port", "8601"]).exit_code == 0
    assert opened == ["Pruning Explorer http://localhost:8601"] and server.ended


def test_a_window_that_cannot_open_is_a_sentence_and_ends_the_server(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "webview", window_library([], WebViewError("no GTK")))
    result = CliRunner().invoke(command_line(), ["app", "--window"])
    assert result.exit_code == 2 and server.ended
    assert "no window could be opened (no GTK); leave out --window" in result.stderr


def test_a_window_whose_server_ends_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webview", window_library([]))
    monkeypatch.setattr(window, "_start", lambda port: subprocess.Popen([sys.executable, "-c", "raise SystemExit(2)"]))
    result = CliRunner().invoke(command_line(), ["app", "--window", "--port", "8602"])
    assert result.exit_code == 2 and "ended while it started" in result.stderr
