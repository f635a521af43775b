"""What is refused before the server starts, and what it says when it does."""

import subprocess
from pathlib import Path

import pytest

from pruning.errors import PruningError
from views.entrance import announcement as said
from views.entrance.access import Access, access_from, hide, is_loopback
from views.entrance.announcement import announcement

CODE = {"PRUNING_PASSWORD": "open sesame"}


def refused(environment: dict[str, str], **asked: object) -> str:
    with pytest.raises(PruningError) as error:
        access_from(environment, **asked)  # type: ignore[arg-type]
    return str(error.value)


def test_by_itself_it_is_for_this_machine() -> None:
    found = access_from({})
    assert found.host == "127.0.0.1" and found.only_here and found.own_machine
    assert access_from({}, host="localhost").host == "127.0.0.1"
    assert access_from({}, host="::1").only_here


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.20", "::ffff:10.0.0.1"])
def test_another_address_needs_a_password_or_a_proxy(host: str) -> None:
    sentence = refused({}, host=host)
    assert "PRUNING_PASSWORD" in sentence and "PRUNING_TRUSTED_HEADER" in sentence
    assert "PRUNING_PASSWORD" in refused({"PRUNING_OWNER_PASSWORD": "open caraway"}, host=host)
    assert not access_from(CODE, host=host).own_machine
    assert access_from({"PRUNING_TRUSTED_HEADER": "X-Forwarded-User"}, host=host).header == "X-Forwarded-User"


@pytest.mark.parametrize(
    "environment, asked, words",
    [
        ({}, {"host": "pruning.school.example"}, "give an address of this machine"),
        ({"PRUNING_PASSWORD": "abc"}, {}, "PRUNING_PASSWORD has 3 characters"),
        ({"PRUNING_OWNER_PASSWORD": "abc"}, {}, "PRUNING_OWNER_PASSWORD has 3 characters"),
        ({**CODE, "PRUNING_OWNER_PASSWORD": "open sesame"}, {}, "are the same"),
        ({"PRUNING_TRUSTED_HEADER": "X Forwarded"}, {}, "the name of a header"),
        ({"PRUNING_TRUSTED_PROXY": "10.0.0.5, proxy"}, {}, "the proxy's address"),
        ({}, {"certificate": Path("a")}, "go together"),
        ({}, {"key": Path("a")}, "go together"),
        ({}, {"certificate": Path("/no/cert"), "key": Path("/no/key")}, "cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(environment: dict[str, str], asked: dict, words: str) -> None:
    assert words in refused(environment, **asked)


def test_the_proxys_addresses_are_read() -> None:
    assert access_from({"PRUNING_TRUSTED_PROXY": "10.0.0.5, 10.1.0.0/16"}).proxies == ("10.0.0.5", "10.1.0.0/16")
    assert access_from({}).proxies == ("127.0.0.1", "::1")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-keyout",
    ]
    try:
        subprocess.run([*command, key, "-out", certificate], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl, which makes the certificate of this test, is not installed")
    return certificate, key


def test_a_certificate_is_tried_with_its_key(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    assert access_from({}, certificate=cert, key=key).encrypted
    assert "no certificate with its key" in refused({}, certificate=key, key=cert)
    locked = key.with_name("locked.pem")
    command = f"openssl rsa -aes256 -passout pass:secret -in {key} -out {locked}".split()
    subprocess.run(command, check=True, capture_output=True)
    assert "without a password" in refused({}, certificate=cert, key=locked)


def test_passwords_are_taken_out_of_what_workers_inherit() -> None:
    environment = {**CODE, "PRUNING_OWNER_PASSWORD": "open caraway", "PRUNING_HOME": "/srv"}
    hide(environment)
    assert environment == {"PRUNING_HOME": "/srv"}


@pytest.mark.parametrize(
    "host, here",
    [
        *((host, True) for host in ("127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1")),
        *((host, False) for host in ("::ffff:10.0.0.1", "0.0.0.0", "::", "10.0.0.1", "localhost", "")),
    ],
)
def test_what_is_this_machine(host: str, here: bool) -> None:
    assert is_loopback(host) is here


def test_on_its_own_machine_the_server_says_so_in_two_lines() -> None:
    assert announcement(Access(), 8501) == "Pruning Explorer: http://localhost:8501\nOnly this machine reaches it."


def test_for_others_it_says_where_it_is_and_what_that_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(said, "addresses_of", lambda host: ["192.168.1.20"])
    open_one = announcement(Access(host="0.0.0.0", password="open sesame"), 8501)
    assert "  http://192.168.1.20:8501\n" in open_one and "asks for the password" in open_one
    assert "unencrypted" in open_one and "PRUNING_OWNER_PASSWORD" in open_one
    assert "open sesame" not in open_one
    proxied = announcement(Access(host="10.0.0.9", header="X-Forwarded-User", owner_password="open caraway"), 8501)
    assert "only your proxy may be there" in proxied and "PRUNING_OWNER_PASSWORD" not in proxied
    secure = announcement(Access(host="::", password="open sesame", certificate=Path("c"), key=Path("k")), 8501)
    assert "https://" in secure and "unencrypted" not in secure
