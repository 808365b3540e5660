"""Which web addresses may be called: none inside our own networks, however they are written.

An address that somebody else chose (a feed, a webhook) must not make the centre call itself or its neighbours. The
name is looked up once, every answer is checked, and the connection goes to an answer that was checked: a name that
gives another answer a moment later changes nothing.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

from portalbus.schemas.errors import PortalbusError

USUAL_PORTS = {"https": 443, "http": 80}
LONGEST = 2_000
LOOKUP_S = 5.0
UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
GLOBAL_UNICAST = IPv6Network("2000::/3")
NOT_PUBLIC = (
    IPv4Network("192.88.99.0/24"),  # relays of 6to4 (RFC 7526)
    IPv6Network("2001::/23"),  # protocols, Teredo among them
    IPv6Network("2002::/16"),  # 6to4: holds any IPv4 address
    IPv6Network("3fff::/20"),  # documentation (RFC 9637)
)

Address = IPv4Address | IPv6Address
Lookup = Callable[[str, int], Iterable[tuple[Any, ...]]]


class AddressRefused(PortalbusError):
    """A web address that may not be called; `host` is where it leads, `what` says why, `mend` what to do."""

    def __init__(self, host: str, what: str, mend: str) -> None:
        self.host = host
        self.what = what
        self.mend = mend
        super().__init__(f"{host}: {what}; {mend}" if host else f"{what}; {mend}")


@dataclass(frozen=True, slots=True)
class WebAddress:
    """A web address in parts that were checked; `host` is what TLS and the Host header name."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> str:
        """Scheme, host and port: `https://hanoi.gov.vn:443`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def __str__(self) -> str:
        return self.origin + self.target


def web_address(url: str, *, plain: bool = False) -> WebAddress:
    """The parts of a web address: https, or also http when `plain`. Raises AddressRefused."""
    if len(url) > LONGEST or UNSAFE.search(url):
        raise AddressRefused("", "the address is too long or holds a space, backslash or control character", "mend it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("", "this is no web address", "write https://host/path") from None
    if parts.scheme not in (("https", "http") if plain else ("https",)):
        raise AddressRefused(parts.hostname or "", f"{parts.scheme or 'no scheme'} is not https", "write https://…")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused(parts.hostname or "", "the address holds a user or password", "leave them out")
    if not parts.hostname or port == 0:
        raise AddressRefused("", "the address names no host or no port", "write https://host/path")
    target = parts.path or "/"
    return WebAddress(
        parts.scheme,
        _ascii_host(parts.hostname),
        port or USUAL_PORTS[parts.scheme],
        f"{target}?{parts.query}" if parts.query else target,
    )


def is_public(address: Address) -> bool:
    """True for an address of the public Internet that belongs to one host."""
    if isinstance(address, IPv6Address) and address not in GLOBAL_UNICAST:
        return False  # mapped and translated IPv4 addresses lie outside, too
    if any(address in network for network in NOT_PUBLIC if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast


def resolved(
    host: str,
    port: int,
    *,
    allows: Callable[[Address], bool] = is_public,
    within: float = LOOKUP_S,
    lookup: Lookup | None = None,
) -> tuple[Address, ...]:
    """The addresses of a host, to connect to instead of the name.

    Raises AddressRefused when one of them is not allowed: a private address among public ones is a trick or a mistake.
    OSError when there are none, and TimeoutError, which is one, when they are not known within so many seconds.
    """
    answers = _answers(lookup or _lookup, host, port, within)
    found = tuple(dict.fromkeys(ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in answers))
    if not found:
        raise OSError(f"{host} has no address")
    if refused := [address for address in found if not allows(address)]:
        mend = "name a host of the public Internet, or allow private addresses for it"
        raise AddressRefused(host, f"{refused[0]} is an address inside a network", mend)
    return found


def anywhere(_: Address) -> bool:
    """Allows also the addresses of our own networks."""
    return True


def _answers(lookup: Lookup, host: str, port: int, within: float) -> list[tuple[Any, ...]]:
    """The resolver's answers. The system's knows no time limit: one that hangs is left behind."""
    told: list[list[tuple[Any, ...]] | Exception] = []

    def ask() -> None:
        try:
            told.append(list(lookup(host, port)))
        except (OSError, UnicodeError, ValueError) as error:
            told.append(error)

    asking = threading.Thread(target=ask, name="resolve", daemon=True)
    asking.start()
    asking.join(within)
    if not told:
        raise TimeoutError(f"{host} was not resolved within {within:g} s")
    (answer,) = told
    if isinstance(answer, Exception):
        raise OSError(f"{host} has no address") from answer
    return answer


def _lookup(host: str, port: int) -> Iterable[tuple[Any, ...]]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _ascii_host(host: str) -> str:
    try:
        return host.encode("ascii").decode()
    except UnicodeEncodeError:
        pass
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        raise AddressRefused(host, "the host is no name", "write it in ASCII (xn--…)") from None
