"""Who somebody is: a signed cookie that a browser keeps, or what a proxy says."""

import hashlib
import hmac
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from itsdangerous import BadData, URLSafeTimedSerializer

from pruning.errors import JobError
from pruning.execution.store.ownership import machine_user
from views.entrance.access import Access

COOKIE = "pruning_visitor"
DAY_S = 86_400
KEPT_S = 400 * DAY_S
"""The longest that browsers keep a cookie."""
RENEWED_S = 7 * DAY_S
LONGEST_NAME = 80


@dataclass(frozen=True)
class Visitor:
    """Whoever sends a request. `admitted`: has said the password, where one is asked for.

    Without a cookie, which only a server for its own machine lets in, it is the machine's user.
    """

    person: str
    admitted: bool
    owner: bool
    renew: bool = False
    """The browser should be given a fresh cookie."""


@dataclass(frozen=True)
class _Ticket:
    """What a cookie says. `key` is of the password that was said, so that another password ends all sign-ins."""

    person: str
    key: str
    old: bool


class Visitors:
    """Reads and writes the cookies of one server."""

    def __init__(self, access: Access, secret: str) -> None:
        self._access = access
        self._secret = secret
        self._serializer = URLSafeTimedSerializer(secret, salt=COOKIE)

    def visitor(self, cookie: str, said_by_proxy: str, from_here: bool) -> Visitor:
        """Who comes with this cookie, with this name from a proxy that is believed, from this machine or not."""
        ticket = self._read(cookie)
        person = _named(said_by_proxy) or (ticket.person if ticket else machine_user())
        key = ticket.key if ticket else ""
        owner = bool(self._access.owner_password) and self._is_key(key, self._access.owner_password)
        asked = bool(self._access.password or self._access.header)
        admitted = not asked or owner or bool(said_by_proxy) or self._is_key(key, self._access.password)
        if not asked and not self._access.owner_password:
            owner = from_here
        return Visitor(person, admitted, owner, renew=ticket is None or ticket.old)

    def cookie(self, cookie: str, password: str | None = None) -> str:
        """A fresh cookie for the browser that has this one: the same person, who has said this password, or what it
        has said before.
        """
        ticket = self._read(cookie)
        kept = ticket.key if ticket else ""
        person = ticket.person if ticket else _somebody()
        return self._serializer.dumps([person, kept if password is None else self._key(password)])

    def right(self, password: str) -> bool:
        """Whether it is one of the server's passwords; takes as long whichever it is."""
        said = self._key(password)
        found = [hmac.compare_digest(said, self._key(each)) for each in self._passwords()]
        return any(found)

    def _passwords(self) -> list[str]:
        return [each for each in (self._access.password, self._access.owner_password) if each]

    def _is_key(self, key: str, password: str) -> bool:
        return bool(password) and hmac.compare_digest(key.encode(), self._key(password).encode())

    def _key(self, password: str) -> str:
        return hmac.digest(self._secret.encode(), password.encode(), "sha256").hex()[:32]

    def _read(self, cookie: str) -> _Ticket | None:
        try:
            value, signed = self._serializer.loads(cookie, max_age=KEPT_S, return_timestamp=True)
        except (BadData, UnicodeError):
            return None
        match value:
            case [str(person), str(key)]:
                return _Ticket(person, key, old=time.time() - signed.timestamp() > RENEWED_S)
            case _:
                return None


def server_secret(home: Path) -> str:
    """What cookies are signed with: kept in the home, for its owner's eyes only, and the same after every start."""
    path = home / "cookie-secret"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _write_once(path, secrets.token_hex(32))
        path.chmod(0o600)
        found = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise JobError(
            f"{path} cannot be kept ({error}); make room and give access there, or set PRUNING_HOME to another folder"
        ) from error
    if len(found) < 32:
        raise JobError(f"{path} is not what this program wrote; delete it, and everybody signs in anew")
    return found


def _write_once(path: Path, text: str) -> None:
    """Another server on this home may write it at the same time: the first one's stays."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def _somebody() -> str:
    return f"browser-{secrets.token_hex(8)}"


def _named(said: str) -> str:
    """The proxy's name of a user, told apart from browsers and from users of the machine."""
    name = "".join(letter for letter in said if letter.isprintable()).strip()
    if len(name) > LONGEST_NAME:  # two long names that begin alike are two people
        name = f"{name[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return f"user-{name}" if name else ""
