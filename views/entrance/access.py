"""Where the server listens and what it asks of whoever comes: the command line and the environment, checked."""

import ipaddress
import os
import ssl
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from pruning.errors import PruningError

HERE = "127.0.0.1"
SHORTEST_PASSWORD = 8
PASSWORD, OWNER_PASSWORD = "PRUNING_PASSWORD", "PRUNING_OWNER_PASSWORD"
TRUSTED_HEADER, TRUSTED_PROXY = "PRUNING_TRUSTED_HEADER", "PRUNING_TRUSTED_PROXY"
_TOKEN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~")


@dataclass(frozen=True)
class Access:
    """What holds for one server from its start to its end."""

    host: str = HERE
    """The address that is listened on."""
    password: str = ""
    """What everybody has to know, "" = nothing."""
    owner_password: str = ""
    """What makes whoever knows it the server's owner."""
    header: str = ""
    """The header in which a proxy says who somebody is, "" = none is believed."""
    proxies: tuple[str, ...] = (HERE, "::1")
    """The addresses and networks of proxies whose headers are believed."""
    certificate: Path | None = None
    key: Path | None = None

    @property
    def only_here(self) -> bool:
        """Whether only this machine can reach the port."""
        return is_loopback(self.host)

    @property
    def own_machine(self) -> bool:
        """Whether this is a server for those who sit at the machine: nothing is asked, and nobody comes by a proxy."""
        return self.only_here and not self.password and not self.header

    @property
    def encrypted(self) -> bool:
        return self.certificate is not None


def access_from(
    environment: Mapping[str, str] = os.environ,
    host: str = HERE,
    certificate: Path | None = None,
    key: Path | None = None,
) -> Access:
    """What was asked for. PruningError where it would let in whoever comes, or cannot be."""
    found = Access(
        host=_address(host),
        password=environment.get(PASSWORD, ""),
        owner_password=environment.get(OWNER_PASSWORD, ""),
        header=_header(environment.get(TRUSTED_HEADER, "").strip()),
        proxies=_proxies(environment.get(TRUSTED_PROXY, "")) or Access.proxies,
        certificate=certificate,
        key=key,
    )
    for variable, password in ((PASSWORD, found.password), (OWNER_PASSWORD, found.owner_password)):
        if password and len(password) < SHORTEST_PASSWORD:
            raise PruningError(
                f"{variable} has {len(password)} characters, which is soon guessed; take at least {SHORTEST_PASSWORD}"
            )
    if found.password and found.password == found.owner_password:
        raise PruningError(f"{PASSWORD} and {OWNER_PASSWORD} are the same; give the class another one than yourself")
    if not (found.only_here or found.password or found.header):
        raise PruningError(
            f"--host {found.host} lets in whoever reaches this machine; set {PASSWORD} to a class code, or "
            f"{TRUSTED_HEADER} to the header in which your proxy says who somebody is, or leave out --host"
        )
    _check_certificate(certificate, key)
    return found


def hide(environment: MutableMapping[str, str] = os.environ) -> None:
    """Take the passwords out of the environment: workers and their children, which inherit it, need none."""
    for variable in (PASSWORD, OWNER_PASSWORD):
        environment.pop(variable, None)


def is_loopback(host: str) -> bool:
    """Whether the address is this machine's own, which no other machine reaches."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _address(host: str) -> str:
    if host == "localhost":
        return HERE
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise PruningError(
            f"--host is {host!r}; give an address of this machine, such as 192.168.1.20, or 0.0.0.0 for all of them"
        ) from None


def _header(name: str) -> str:
    if not set(name) <= _TOKEN:
        raise PruningError(f"{TRUSTED_HEADER} is {name!r}; set it to the name of a header, such as X-Forwarded-User")
    return name


def _proxies(text: str) -> tuple[str, ...]:
    names = tuple(text.replace(",", " ").split())
    for name in names:
        try:
            ipaddress.ip_network(name)
        except ValueError:
            raise PruningError(
                f"{TRUSTED_PROXY} is {text!r}; set it to the proxy's address, such as 192.168.1.5, or to several "
                "addresses or networks with commas between them"
            ) from None
    return names


def _check_certificate(certificate: Path | None, key: Path | None) -> None:
    if (certificate is None) != (key is None):
        raise PruningError("--certificate and --key go together; give both files, or neither")
    if certificate is None or key is None:
        return
    for option, path in (("--certificate", certificate), ("--key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise PruningError(f"{option} {path} cannot be read ({error.strerror}); give another file") from error
    try:
        # an empty password, or Python would ask for it at the terminal
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        raise PruningError(
            f"--certificate {certificate} and --key {key} are no certificate with its key, in PEM and without a "
            f"password ({' '.join(str(error).split())})"
        ) from error
