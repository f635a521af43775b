"""What the server says when it starts: where it is, and what that means."""

import socket
from contextlib import suppress

from views.entrance.access import OWNER_PASSWORD, Access

EVERYWHERE = ("0.0.0.0", "::")
ELSEWHERE = ("192.0.2.1", "2001:db8::1")
"""Addresses of documentation: asked for the way to them, which sends nothing."""


def own_address(access: Access, port: int) -> str:
    """The page as a browser on this machine opens it."""
    return _url(access, "localhost" if access.only_here or access.host in EVERYWHERE else access.host, port)


def announcement(access: Access, port: int) -> str:
    """Where the page is, who reaches it, and what they have to show."""
    if access.only_here:
        said = f"Pruning Explorer: {own_address(access, port)}", f"Only this machine reaches it.{_asked(access)}"
        return "\n".join(said)
    lines = ["Pruning Explorer:", *(f"  {_url(access, each, port)}" for each in addresses_of(access.host))]
    lines.append(
        f"Every machine that reaches this one can open it.{_asked(access)} Whoever is let in can start runs here and "
        "see those of the others."
    )
    if access.header:
        lines.append(
            f"Whoever can write the header {access.header} is whoever they like. It is believed from "
            f"{', '.join(access.proxies)} alone: only your proxy may be there, and it has to drop the header that a "
            "browser sends."
        )
    if not access.encrypted and not access.header:
        lines.append(
            "Passwords and pages go through the network unencrypted; give --certificate and --key, or put a proxy in "
            "front that encrypts."
        )
    if not access.owner_password:
        lines.append(
            f"Nobody can stop or delete what belongs to others; set {OWNER_PASSWORD} for whoever runs the server."
        )
    return "\n".join(lines)


def addresses_of(host: str) -> list[str]:
    """The addresses under which other machines find this one."""
    if host not in EVERYWHERE:
        return [host]
    found: list[str] = []
    for family, far in zip((socket.AF_INET, socket.AF_INET6), ELSEWHERE, strict=True):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            found.append(probe.getsockname()[0])
    return [each for each in found if ":" not in each or host == "::"] or [socket.gethostname()]


def _url(access: Access, host: str, port: int) -> str:
    return f"{'https' if access.encrypted else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _asked(access: Access) -> str:
    """What is asked of whoever comes."""
    if access.password and access.header:
        return " It asks for the password, or for a name that your proxy gives."
    if access.password:
        return " It asks for the password."
    return " It asks for a name that your proxy gives." if access.header else ""
