"""Which addresses may be read: whatever form an inner address takes, it is refused after it was resolved."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import pytest

from portalbus.connectors.pull.config import WebBounds
from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.web.addresses import AddressPolicy
from portalbus.connectors.pull.web.client import Web

INNER = """
127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1
100.127.255.254 169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.168.0.1
192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1
255.255.255.255 ::1 :: fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 ff0e::1 2001:db8::1 100::1
::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe
64:ff9b:1::a00:1 2002:7f00:1:: 2002:a9fe:a9fe:: 2002:c0a8:1:: 2001:0:4136:e378:8000:63bf:80ff:fffe
"""

URLS = """
http://127.0.0.1/ http://127.1/ http://127.0.1/ http://2130706433/ http://0x7f000001/ http://0x7f.0.0.1/
http://0177.0.0.1/ http://017700000001/ http://0/ http://localhost/ http://LOCALHOST/ http://localhost./
http://[::1]/ http://[::ffff:127.0.0.1]/ http://[::ffff:7f00:1]/ http://[0:0:0:0:0:0:0:1]/ http://[::]/
http://10.0.0.1:8080/ http://169.254.169.254/latest/meta-data/ http://[fd00:ec2::254]/ http://192.168.1.1/
http://①②⑦.⓪.⓪.①/ http://127。0。0。1/ http://127.0.0.1:22/ http://[64:ff9b::7f00:1]/ http://[2002:7f00:1::]/
http://user@127.0.0.1/ http://example.org@127.0.0.1/ file:///etc/passwd gopher://127.0.0.1/ ftp://127.0.0.1/
http:///etc/passwd http://127.0.0.1\\@example.org/ //127.0.0.1/ javascript:alert(1) http://%31%32%37.0.0.1/
"""


@pytest.mark.parametrize("address", INNER.split())
def test_an_inner_address_is_refused(address: str) -> None:
    assert not AddressPolicy().allows(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "103.9.200.1", "2606:4700::1111"])
def test_a_public_address_is_read(address: str) -> None:
    assert AddressPolicy().allows(ip_address(address))


def test_a_network_of_ones_own_is_read_when_it_is_listed() -> None:
    policy = AddressPolicy(["10.20.0.0/16"])
    assert policy.allows(ip_address("10.20.3.4"))
    assert policy.allows(ip_address("::ffff:10.20.3.4"))
    assert not policy.allows(ip_address("10.21.0.1"))


@pytest.mark.parametrize("url", URLS.split())
def test_no_form_of_an_inner_address_is_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any, **more: Any) -> None:
        raise AssertionError("a connection was begun")

    monkeypatch.setattr(socket, "create_connection", never)
    client = Web(WebBounds()).client()
    with pytest.raises(ReadFailed):
        client.get(url, robots=False)


def test_one_inner_address_among_public_ones_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, 80)) for text in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **more: answers)
    with pytest.raises(ReadFailed, match="inside a network"):
        AddressPolicy().checked("rebinding.example", 80, 1.0)


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    tried: list[Any] = []

    def once(host: str, *arguments: Any, **more: Any) -> list[Any]:
        asked.append(host)
        address = "8.8.8.8" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))]

    def connect(address: Any, *arguments: Any, **more: Any) -> None:
        tried.append(address)
        raise OSError("nobody there")

    monkeypatch.setattr(socket, "getaddrinfo", once)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(ReadFailed, match="no connection"):
        Web(WebBounds()).client().get("http://rebinding.example/", robots=False)
    assert asked == ["rebinding.example"]
    assert [address[0] for address in tried] == ["8.8.8.8"]
