"""No address that somebody else chose leads into our own networks, however it is written."""

from __future__ import annotations

import socket
import threading
import time
from ipaddress import ip_address
from typing import Any

import pytest

from portalbus.connectors.web_addresses import AddressRefused, anywhere, is_public, resolved, web_address

INSIDE = """
127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 169.254.169.254
172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.1
203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::127.0.0.1 ::ffff:127.0.0.1
::ffff:10.0.0.1 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 64:ff9b:1::10.0.0.1 100::1 2001::1
2001:0:7f00:1:: 2001:10::1 2001:db8::1 2002:7f00:1:: 2002:a00:1:: 3fff::1 5f00::1 fc00::1 fd12:3456::1 fe80::1
fec0::1 ff02::1 ff0e::1
""".split()  # noqa: SIM905 - a list of fifty strings is harder to read
OUTSIDE = "8.8.8.8 1.1.1.1 203.162.0.1 2606:4700:4700::1111 2405:4800::1 2a00:1450:4001::1".split()  # noqa: SIM905
WAYS_TO_WRITE_LOOPBACK = """
127.0.0.1 127.1 127.0.1 2130706433 0x7f000001 0x7f.1 0177.0.0.1 017700000001 127.0.0.1. [::1] [::ffff:127.0.0.1]
[0:0:0:0:0:0:0:1] [::] 0 0.0.0.0 localhost LOCALHOST localhost. [fe80::1%25lo] [::ffff:7f00:1]
""".split()  # noqa: SIM905
REFUSED = [
    "",
    "http://hanoi.gov.vn/",
    "ftp://hanoi.gov.vn/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_x",
    "//hanoi.gov.vn/",
    "hanoi.gov.vn",
    "https://",
    "https:///path",
    "https://user@hanoi.gov.vn/",
    "https://user:password@hanoi.gov.vn/",
    "https://hanoi.gov.vn:0/",
    "https://hanoi.gov.vn:65536/",
    "https://hanoi.gov.vn:x/",
    "https://hanoi.gov.vn /",
    "https://hanoi.gov.vn\\@127.0.0.1/",
    "https://hanoi.gov.vn/\r\nHost: x",
    "https://hanoi.gov.vn/\x00",
    "https://[::1/",
    "https://" + "a" * 3_000,
]


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_of_our_own_networks_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_addresses_of_the_internet_are(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("host", WAYS_TO_WRITE_LOOPBACK)
def test_loopback_is_refused_however_it_is_written(host: str) -> None:
    try:
        address = web_address(f"https://{host}/")
        found = resolved(address.host, address.port)
    except (AddressRefused, OSError):
        return  # what does not resolve leads nowhere
    pytest.fail(f"{host} leads to {found}")


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_no_plain_https_address_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        web_address(url)


def test_parts_of_an_address() -> None:
    address = web_address("https://HaNoi.gov.vn/hooks/central?a=1&b#frag")
    assert (address.host, address.port, address.target) == ("hanoi.gov.vn", 443, "/hooks/central?a=1&b")
    assert str(address) == "https://hanoi.gov.vn:443/hooks/central?a=1&b"
    assert web_address("https://chính.vn").host == "xn--chnh-wpa.vn"
    assert web_address("http://10.1.2.3:8080/", plain=True).origin == "http://10.1.2.3:8080"
    assert web_address("https://[2001:db8::1]/").origin == "https://[2001:db8::1]:443"


def test_one_private_answer_among_public_ones_is_refused() -> None:
    def lookup(host: str, port: int) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, 1, 6, "", (text, port)) for text in ("8.8.8.8", "10.0.0.1")]

    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1 is an address inside a network"):
        resolved("both.example", 443, lookup=lookup)
    assert [str(one) for one in resolved("both.example", 443, allows=anywhere, lookup=lookup)] == [
        "8.8.8.8",
        "10.0.0.1",
    ]


def test_a_name_without_an_address_is_an_error() -> None:
    with pytest.raises(OSError, match="has no address"):
        resolved("nobody.example", 443, lookup=lambda host, port: [])


def test_a_resolver_that_does_not_answer_is_not_waited_for() -> None:
    never = threading.Event()

    def lookup(host: str, port: int) -> list[tuple[Any, ...]]:
        never.wait(30)
        return []

    began = time.monotonic()
    with pytest.raises(TimeoutError, match="not resolved within"):
        resolved("slow.example", 443, within=0.2, lookup=lookup)
    assert time.monotonic() - began < 10
    never.set()
