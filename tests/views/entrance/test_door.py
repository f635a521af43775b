"""Who is let in, what every answer says to the browser, and how the password is asked for."""

import re
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.views.entrance.asking import FAR, SECRET, Answer, ask, door_of
from views.entrance.access import Access
from views.entrance.sign_in import _own_path
from views.entrance.tries import MOST, WITHIN_S, Tries
from views.entrance.visitors import Visitors

CODE = "open sesame"
CLASS = Access(host="0.0.0.0", password=CODE, owner_password="open caraway")
BEHIND = ("/_stcore/stream", "/media/a.png", "/_stcore/upload_file/a/b", "/_stcore/host-config", "/component/a")


def sign_in(door, password: str = CODE, after: str = "/", **asked) -> Answer:
    form = urlencode({"password": password, "next": after}).encode()
    return ask(door, "/sign-in", "POST", body=form, client=asked.pop("client", FAR), **asked)


def test_without_the_password_nothing_behind_the_door_is_reached() -> None:
    door = door_of(CLASS)
    for path in BEHIND:
        assert ask(door, path, headers={"accept": "*/*"}, client=FAR).status == 401
        assert ask(door, path, "POST", client=FAR).status == 401
        assert ask(door, path, client=FAR).status == 303  # a browser that is sent there by hand
    assert ask(door, "/_stcore/stream", scheme="ws", client=FAR).status == 403
    assert ask(door, "/", headers={"accept": "*/*"}).status == 401  # on the machine itself too


def test_with_the_cookie_all_of_it_is_reached() -> None:
    door = door_of(CLASS)
    cookie = sign_in(door).cookie
    for path in BEHIND:
        assert ask(door, path, cookie=cookie, client=FAR).told["person"]
    assert ask(door, "/_stcore/stream", scheme="ws", cookie=cookie, client=FAR).status == 101


def test_a_page_leads_to_the_question_and_the_answer_back_to_the_page() -> None:
    door = door_of(CLASS)
    asked = ask(door, "/runs?run=7f-1&a=%2F", client=FAR)
    assert (
        asked.status == 303 and asked.headers["location"] == f"/sign-in?next={quote('/runs?run=7f-1&a=%2F', safe='')}"
    )
    question = ask(door, asked.headers["location"], client=FAR)
    assert question.status == 200 and "value='/runs?run=7f-1&amp;a=%2F'" in question.body.decode()
    answered = sign_in(door, after="/runs?run=7f-1&a=%2F")
    assert answered.status == 303 and answered.headers["location"] == "/runs?run=7f-1&a=%2F"


def test_the_question_needs_no_script_and_nothing_from_elsewhere() -> None:
    page = ask(door_of(CLASS), "/sign-in", client=FAR).body.decode()
    assert not re.search(r"<script|<img|src=|https?:|\son\w+=|href='(?!data:,')", page)
    assert "<label for='password'>" in page and "type='password'" in page


def test_a_wrong_password_is_said_and_gives_no_cookie() -> None:
    answered = sign_in(door_of(CLASS), "open barley")
    assert answered.status == 403 and "This is not the password" in answered.body.decode() and not answered.cookie
    assert not sign_in(door_of(CLASS), "").cookie


@pytest.mark.parametrize(
    "after",
    ["//evil.example", "https://evil.example", "/\\evil.example", "/\tevil", "javascript:alert(1)", "", "/sign-out"],
)
def test_after_signing_in_nobody_is_led_elsewhere(after: str) -> None:
    assert sign_in(door_of(CLASS), after=after).headers["location"] == "/"


@given(st.text())
def test_whatever_stands_in_the_link_stays_on_this_server(after: str) -> None:
    found = _own_path(after)
    assert found.startswith("/") and not found.startswith(("//", "/\\")) and found.isprintable()


def test_a_link_cannot_write_into_the_question() -> None:
    page = ask(door_of(CLASS), "/sign-in?next=" + quote("/'><script>alert(1)</script>"), client=FAR).body.decode()
    assert "<script" not in page


def test_a_form_of_another_site_signs_nobody_in() -> None:
    door = door_of(CLASS)
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        answered = sign_in(door, headers=headers)
        assert answered.status == 403 and not answered.cookie
    assert sign_in(door, headers={"origin": "http://localhost:8501", "sec-fetch-site": "same-origin"}).cookie


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a" * 20_000, b"&" * 100, b"password", b"=", b""])
def test_what_is_no_form_is_a_wrong_password(body: bytes) -> None:
    assert ask(door_of(CLASS), "/sign-in", "POST", body=body, client=FAR).status == 403


def test_after_many_wrong_passwords_an_address_waits_and_the_others_do_not() -> None:
    door = door_of(CLASS)
    cookie = sign_in(door).cookie
    for _ in range(MOST):
        assert sign_in(door, "open barley").status == 403
    waiting = sign_in(door)  # the right one does not help now: else it could be found
    assert waiting.status == 429 and "Try again in" in waiting.body.decode() and not waiting.cookie
    assert sign_in(door, client="203.0.113.8").cookie
    assert ask(door, cookie=cookie, client=FAR).told


def test_the_wait_is_over_after_a_minute_and_what_is_counted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    tries = Tries(lambda: clock[0])
    for _ in range(MOST):
        assert tries.wait_s("a") == 0
        tries.wrong("a")
        clock[0] += 1
    assert tries.wait_s("a") == WITHIN_S - MOST
    clock[0] = WITHIN_S
    assert tries.wait_s("a") == 0
    monkeypatch.setattr("views.entrance.tries.MOST_ADDRESSES", 3)
    for address in "bcdefg":
        tries.wrong(address)
    assert list(tries._wrong) == ["e", "f", "g"]


def test_signing_out_makes_the_browser_forget() -> None:
    door = door_of(CLASS)
    cookie = sign_in(door).cookie
    left = ask(door, "/sign-out", "POST", cookie=cookie, client=FAR)
    assert left.status == 303 and "Max-Age=0" in left.headers["set-cookie"]
    assert "Sign out" in ask(door, "/sign-out", cookie=cookie, client=FAR).body.decode()


def test_signing_in_as_another_leaves_the_person() -> None:
    door = door_of(CLASS)
    pupil = sign_in(door).cookie
    owner = sign_in(door, "open caraway", headers={"cookie": f"pruning_visitor={pupil}"}).cookie
    before, after = (ask(door, cookie=cookie, client=FAR).told for cookie in (pupil, owner))
    assert before["person"] == after["person"] and (before["owner"], after["owner"]) == ([], ["yes"])


def test_a_proxys_user_needs_no_password_and_nobody_else_comes_in() -> None:
    door = door_of(Access(host="0.0.0.0", header="X-Forwarded-User"))
    assert ask(door, headers={"X-Forwarded-User": "anna"}).told
    assert ask(door, headers={"X-Forwarded-User": ""}).status == 303
    assert ask(door, headers={"X-Forwarded-User": "anna"}, client=FAR).status == 303
    assert sign_in(door, "").status == 403


def test_metrics_are_for_the_machine_itself_and_health_for_whoever_is_let_in_too() -> None:
    door = door_of(CLASS)
    cookie = sign_in(door).cookie
    for path in ("/_stcore/metrics", "/_stcore/script-health-check", "/_stcore/agent/mcp"):
        assert ask(door, path, cookie=cookie, client=FAR).status == 403
        assert ask(door, path, cookie=cookie, headers={"X-Forwarded-For": FAR}).status == 403
        assert ask(door, path).told
    assert ask(door, "/_stcore/health").told and ask(door, "/_stcore/health", cookie=cookie, client=FAR).told
    assert not ask(door, "/_stcore/health", client=FAR).told


@pytest.mark.parametrize(
    "host", ["evil.example:8501", "localhost.evil.example", "10.0.0.5", "", "[", "user@evil.example"]
)
def test_a_server_of_its_own_machine_is_not_opened_by_another_name(host: str) -> None:
    """Another site's name may lead to this machine, and its scripts then read the page."""
    door = door_of(Access())
    assert ask(door, headers={"host": host}).status == 421
    assert ask(door, headers={"host": host}, scheme="ws").status == 403
    assert ask(door_of(CLASS), headers={"host": host}).status == 303


@pytest.mark.parametrize("host", ["localhost:8501", "127.0.0.1:8501", "[::1]:8501", "pruning.localhost"])
def test_the_machines_own_names_open_it(host: str) -> None:
    assert ask(door_of(Access()), headers={"host": host}).told


@pytest.mark.parametrize("path, client", [("/", FAR), ("/sign-in", FAR), ("/_stcore/metrics", FAR), ("/", "127.0.0.1")])
def test_every_answer_forbids_what_a_page_does_not_need(path: str, client: str) -> None:
    access = CLASS if client == FAR else Access()
    headers = ask(door_of(access), path, client=client).headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe-inline" not in re.findall(r"script-src [^;]*", headers["content-security-policy"])[0]
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"


def test_a_cookie_that_was_not_signed_here_opens_nothing() -> None:
    forged = Visitors(CLASS, "t" * 64).cookie("", CODE)
    assert ask(door_of(CLASS), cookie=forged, client=FAR).status == 303
    without = Visitors(CLASS, SECRET).cookie("")
    assert ask(door_of(CLASS), cookie=without, client=FAR).status == 303
