"""Which addresses may be read. A name is resolved once, and the connection goes to the address that was checked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address, ip_network

from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.web_addresses import Address, is_public

MAX_TRIED = 3


class AddressPolicy:
    """Public addresses may be read, and those in the `internal` networks (CIDR) of the configuration."""

    def __init__(self, internal: Sequence[str] = ()) -> None:
        self._internal = tuple(ip_network(network) for network in internal)

    def allows(self, address: Address) -> bool:
        """True for a public address, and for one of an internal network."""
        inner = (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
        if any(inner in network for network in self._internal if network.version == inner.version):
            return True
        return is_public(address)

    def checked(self, host: str, port: int, timeout: float) -> list[str]:
        """The addresses of a host, all allowed. Raises ReadFailed when one is not, or the name does not resolve."""
        found = resolve(host, port, timeout)
        for text in found:
            # One private address among public ones is a trick or a mistake: none of them is used.
            if not self.allows(ip_address(text.partition("%")[0])):
                raise ReadFailed(
                    host,
                    f"{text} is an address inside a network",
                    "Public addresses are read; list the network under web.internal if it is one of yours",
                )
        return found[:MAX_TRIED]


def resolve(host: str, port: int, timeout: float) -> list[str]:
    """The addresses of a host, in the system's order. Raises ReadFailed."""
    answers: list[list[str] | Exception] = []

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.append(list(dict.fromkeys(str(entry[4][0]) for entry in found)))
        except (OSError, UnicodeError, ValueError) as error:
            answers.append(error)

    # The system's resolver knows no time limit: one that hangs is left behind.
    asking = threading.Thread(target=ask, name="resolve", daemon=True)
    asking.start()
    asking.join(timeout)
    if not answers:
        raise ReadFailed(host, f"its name was not resolved within {timeout:.0f} s", "Is the name server well?")
    (answer,) = answers
    if isinstance(answer, Exception) or not answer:
        raise ReadFailed(host, "there is no such name", "Check the spelling of the address")
    return answer
