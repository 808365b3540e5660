"""Which addresses may be read. A name is resolved once, and the connection goes to the address that was checked."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_network

from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.web_addresses import Address, AddressRefused, is_public, resolved

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
        try:
            found = resolved(host, port, allows=self.allows, within=timeout)
        except AddressRefused as refused:
            mend = "Public addresses are read; list the network under web.internal if it is one of yours"
            raise ReadFailed(host, refused.what, mend) from None
        except TimeoutError:
            raise ReadFailed(
                host, f"its name was not resolved within {timeout:.0f} s", "Is the name server well?"
            ) from None
        except OSError:
            raise ReadFailed(host, "there is no such name", "Check the spelling of the address") from None
        return [str(address) for address in found[:MAX_TRIED]]
