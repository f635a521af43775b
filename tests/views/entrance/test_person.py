"""One browser is one person, also the next day; nobody is another one by saying so."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer

from pruning.errors import JobError
from tests.views.entrance.asking import FAR, SECRET, ask, door_of
from views.entrance.access import Access
from views.entrance.visitors import COOKIE, RENEWED_S, Visitors, server_secret

OPEN = Access()
BY_PROXY = Access(host="0.0.0.0", header="X-Forwarded-User")


def test_a_browser_is_given_a_cookie_and_is_the_same_person_ever_after() -> None:
    door = door_of(OPEN)
    first = ask(door)
    assert first.cookie and "HttpOnly; SameSite=Lax" in first.headers["set-cookie"]
    again = [ask(door, path, cookie=first.cookie).told["person"] for path in ("/", "/runs", "/?run=1")]
    assert again[0][0].startswith("browser-") and again == [again[0]] * 3
    assert ask(door_of(OPEN), cookie=first.cookie).told["person"] == again[0]  # the server was started anew
    assert ask(door, cookie=ask(door).cookie).told["person"] != again[0]


def test_only_a_page_gives_a_cookie_and_only_to_a_browser_without_one() -> None:
    door = door_of(OPEN)
    assert not ask(door, cookie=ask(door).cookie).cookie

    async def picture(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"image/png")]})

    assert not ask(door_of(OPEN, picture), "/media/x.png").cookie


def test_a_page_that_the_browser_has_already_gives_a_cookie_too() -> None:
    async def unchanged(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 304, "headers": []})

    assert ask(door_of(OPEN, unchanged)).cookie
    assert not ask(door_of(OPEN, unchanged), "/static/a.js", headers={"accept": "*/*"}).cookie


def test_the_cookie_is_for_encrypted_connections_alone_where_the_first_was() -> None:
    assert "; Secure" in ask(door_of(OPEN), scheme="https").headers["set-cookie"]
    assert "; Secure" not in ask(door_of(OPEN)).headers["set-cookie"]


def test_a_cookie_is_renewed_before_the_browser_forgets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    door = door_of(OPEN)
    first = ask(door).cookie
    person = ask(door, cookie=first).told["person"]
    real = __import__("time").time()
    monkeypatch.setattr("time.time", lambda: real + RENEWED_S + 60)
    later = ask(door, cookie=first)
    assert later.cookie and later.told["person"] == person == ask(door, cookie=later.cookie).told["person"]


@given(st.text(max_size=60))
def test_a_cookie_that_this_server_has_not_signed_is_none(text: str) -> None:
    assert Visitors(OPEN, SECRET).visitor(text, "", True).person.startswith("machine-")


@pytest.mark.parametrize("value", [None, [], ["browser-1"], ["browser-1", 3], {"person": "x"}, "browser-1"])
def test_a_cookie_of_another_shape_is_none(value: object) -> None:
    signed = URLSafeTimedSerializer(SECRET, salt=COOKIE).dumps(value)
    assert Visitors(OPEN, SECRET).visitor(signed, "", True).person.startswith("machine-")


def test_another_servers_cookie_is_none() -> None:
    foreign = Visitors(OPEN, "t" * 64).cookie("")
    assert Visitors(OPEN, SECRET).visitor(foreign, "", True).renew


def test_nobody_is_somebody_by_saying_so() -> None:
    forged = {"X-Pruning-Person": "browser-other", "x-pruning-owner": "yes", "X-Forwarded-User": "anna"}
    access = Access(host="0.0.0.0", password="open sesame")
    cookie = Visitors(access, SECRET).cookie("", "open sesame")
    told = ask(door_of(access), headers=forged, cookie=cookie, client=FAR).told
    assert told["owner"] == [] and len(told["person"]) == 1 and told["person"][0].startswith("browser-")
    assert told["person"] != ["browser-other"]


def test_a_proxy_that_is_believed_says_who_somebody_is() -> None:
    door = door_of(BY_PROXY)
    assert ask(door, headers={"X-Forwarded-User": "anna"}).told["person"] == ["user-anna"]
    assert ask(door, headers={"X-Forwarded-User": "jürgen ß"}).told["person"] == ["user-j%C3%BCrgen%20%C3%9F"]
    long = [ask(door, headers={"X-Forwarded-User": "a" * 200 + end}).told["person"][0] for end in "bc"]
    assert long[0] != long[1] and max(map(len, long)) < 110


def test_another_machine_than_the_proxy_is_not_believed() -> None:
    forged = {"X-Forwarded-User": "anna"}
    assert ask(door_of(BY_PROXY), headers=forged, client=FAR).told.get("person") != ["user-anna"]
    believed = Access(host="0.0.0.0", header="X-Forwarded-User", proxies=("203.0.113.0/24",))
    assert ask(door_of(believed), headers=forged, client=FAR).told["person"] == ["user-anna"]


def test_a_user_of_the_proxy_is_neither_a_browser_nor_the_machines_user() -> None:
    for name in ("browser-1", "machine-root"):
        told = ask(door_of(BY_PROXY), headers={"X-Forwarded-User": name}).told
        assert told["person"] == [f"user-{name}"]


def test_whoever_sits_at_the_machine_owns_the_server_where_nothing_is_asked() -> None:
    assert ask(door_of(OPEN)).told["owner"] == ["yes"]
    assert ask(door_of(OPEN), client=FAR).told.get("owner") != ["yes"]
    assert ask(door_of(OPEN), headers={"X-Forwarded-For": FAR}).told["owner"] == []


def test_the_owners_password_makes_an_owner_and_the_class_code_does_not() -> None:
    access = Access(host="0.0.0.0", password="open sesame", owner_password="open caraway")
    visitors = Visitors(access, SECRET)
    pupil, owner = visitors.cookie("", "open sesame"), visitors.cookie("", "open caraway")
    assert ask(door_of(access), cookie=pupil, client=FAR).told["owner"] == []
    assert ask(door_of(access), cookie=owner, client=FAR).told["owner"] == ["yes"]
    assert ask(door_of(access), cookie=pupil).told["owner"] == []  # at the machine itself too


def test_another_password_ends_the_sign_ins_and_leaves_the_person() -> None:
    old = Access(host="0.0.0.0", password="open sesame", owner_password="open caraway")
    new = Access(host="0.0.0.0", password="open barley", owner_password="open fennel")
    for said in ("open sesame", "open caraway"):
        cookie = Visitors(old, SECRET).cookie("", said)
        before, after = (Visitors(access, SECRET).visitor(cookie, "", False) for access in (old, new))
        assert before.admitted and not after.admitted and not after.owner and before.person == after.person


def test_the_secret_is_the_owners_alone_and_stays(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = server_secret(home)
    assert len(first) == 64 and server_secret(home) == first
    assert {path.name: path.stat().st_mode & 0o777 for path in home.iterdir()} == {"cookie-secret": 0o600}
    (home / "cookie-secret").chmod(0o644)
    server_secret(home)
    assert (home / "cookie-secret").stat().st_mode & 0o077 == 0


def test_a_secret_that_is_not_one_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "cookie-secret").write_text("abc")
    with pytest.raises(JobError, match="delete it"):
        server_secret(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(JobError, match="PRUNING_HOME"):
        server_secret(tmp_path / "file")


def test_what_the_door_tells_is_json_of_one_person(tmp_path: Path) -> None:
    assert json.loads(ask(door_of(OPEN)).body)["person"] == [f"machine-{__import__('getpass').getuser()}"]
