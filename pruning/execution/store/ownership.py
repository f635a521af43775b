"""Whose a run is, and who may change it."""

import getpass
from collections.abc import Iterable
from dataclasses import dataclass

from pruning.errors import JobError
from pruning.execution.store.records import RunRow


@dataclass(frozen=True)
class Who:
    """A person at a page. `owner`: of the server, who may change everything."""

    person: str
    owner: bool = False


def machine_user() -> str:
    """The person who sits at this machine: who a page without a door works for."""
    try:
        return f"machine-{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user without a name
        return "machine-user"


def shown_name(person: str) -> str:
    """What a person is called to others; "" = nobody: what was made before persons were known."""
    kind, _dash, rest = person.partition("-")
    if rest and kind in ("user", "machine"):
        return rest
    if rest and kind == "browser":
        return f"browser {rest[:6]}"
    return "" if person.isalnum() else person


def may_change(session: str, who: Who) -> bool:
    """Whether what was made in this session's name may be changed by them."""
    return who.owner or (bool(session) and session == who.person)


def require_owner(session: str, who: Who, what: str) -> None:
    """JobError, which says whose it is, unless they may change it. `what`: `run 7f3a9c21-1`."""
    if may_change(session, who):
        return
    name = shown_name(session)
    whose = f"belongs to {name}; ask them" if name else "was made by somebody who is not known any more; ask"
    raise JobError(f"{what} {whose}{', or' if name else ''} whoever runs the server, to change it")


def may_see(row: RunRow, who: Who) -> bool:
    """Whether the run is shown to them: a private one is its owner's alone."""
    return not row.private or may_change(row.session, who)


def seen(rows: Iterable[RunRow], who: Who) -> list[RunRow]:
    """Those of the runs that are shown to them."""
    return [row for row in rows if may_see(row, who)]


def unknown_run(run: str) -> JobError:
    """Of a run that is not there, and of one that is not shown: nobody learns which."""
    return JobError(f"there is no run {run}; choose one from the list of runs")
