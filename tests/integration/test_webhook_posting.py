"""One request to one receiver: only where it may go, bounded in time and size, whatever the receiver does."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from portalbus.connectors.push.posting import CheckedNetwork, Posted, Poster
from portalbus.connectors.push.signing import new_secret

Script = Callable[[socket.socket], None]


@contextmanager
def server(script: Script) -> Iterator[tuple[int, list[bytes]]]:
    """A server that reads a request and does as the script says; gives its port and what it has read."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        requests.append(connection.recv(65_536))
                        script(connection)
                    except OSError:
                        pass

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], requests


def says(answer: bytes) -> Script:
    return lambda connection: connection.sendall(answer)


def post(
    url: str, *, internal: bool = True, lookup: Callable[[str, int], Any] | None = None, timeout: float = 1.0
) -> Posted:
    """Posts a message once."""

    async def once() -> Posted:
        with ThreadPoolExecutor(1) as resolvers:
            network = CheckedNetwork(resolvers, private=internal, lookup=lookup)
            poster = Poster(url, network, ssl.create_default_context(), room=1, timeout=timeout)
            try:
                return await poster.post([new_secret()], "id-1", '{"a": "ă"}', internal=internal)
            finally:
                await poster.close()

    return asyncio.run(once())


def what(posted: Posted) -> str:
    return posted.failure.what if posted.failure else "taken"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", "taken"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "taken"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 200_000, "taken"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "answered 500"),
        (b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", "answered 410"),
        (b"HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "not followed"),
        (b"nonsense\r\n\r\n", "no connection (RemoteProtocolError)"),
        (b"", "no connection"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, "no connection"),
    ],
)
def test_what_a_receiver_answers_decides(answer: bytes, said: str) -> None:
    with server(says(answer)) as (port, requests):
        posted = post(f"http://127.0.0.1:{port}/hook?a=1")
    assert said in what(posted)
    assert len(requests) == 1
    head = requests[0].decode("latin-1").lower()
    assert head.startswith("post /hook?a=1 http/1.1")
    for name in ("webhook-id: id-1", "webhook-timestamp: ", "webhook-signature: v1,", "user-agent: portalbus-webhooks"):
        assert name in head


def test_a_receiver_that_hangs_or_drips_is_left_after_the_timeout() -> None:
    ended = threading.Event()

    def drips(connection: socket.socket) -> None:
        while not ended.wait(0.05):
            connection.sendall(b"H")

    def hangs(connection: socket.socket) -> None:
        ended.wait(10)

    for script in (hangs, drips):
        with server(script) as (port, _):
            began = time.monotonic()
            posted = post(f"http://127.0.0.1:{port}/", timeout=0.3)
            assert what(posted) == "no answer within 0.3 s"
            assert posted.failure is not None and posted.failure.silent
            assert time.monotonic() - began < 2
    ended.set()


def test_an_answer_whose_rest_does_not_come_counts_by_its_status() -> None:
    ended = threading.Event()

    def stops(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
        ended.wait(10)

    with server(stops) as (port, _):
        assert what(post(f"http://127.0.0.1:{port}/", timeout=0.3)) == "taken"
        ended.set()


@pytest.mark.parametrize("asked", ["7", "Wed, 21 Oct 2099 07:28:00 GMT", "nonsense", "-3", ""])
def test_a_receiver_may_ask_for_a_pause(asked: str) -> None:
    answer = f"HTTP/1.1 429 Slow\r\nRetry-After: {asked}\r\nContent-Length: 0\r\n\r\n".encode()
    with server(says(answer)) as (port, _):
        posted = post(f"http://127.0.0.1:{port}/")
    assert posted.failure is not None and posted.failure.silent
    assert (posted.failure.pause == 7.0) == (asked == "7")
    assert (posted.failure.pause > 1e9) == asked.startswith("Wed")


def test_nothing_is_sent_into_our_own_networks_whatever_a_name_leads_to() -> None:
    with server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as (port, requests):
        answers = [[(2, 1, 6, "", ("127.0.0.1", port))], [(10, 1, 6, "", ("::ffff:127.0.0.1", port, 0, 0))]]
        for answer in answers:
            posted = post(f"https://public.example:{port}/", internal=False, lookup=lambda *_, found=answer: found)
            assert "is an address inside a network" in what(posted)
        assert "is not https" in what(post(f"http://127.0.0.1:{port}/", internal=False))
        assert requests == []


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    asked: list[str] = []

    def lookup(host: str, port: int) -> Any:
        asked.append(host)
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    with server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as (port, requests):
        assert what(post(f"http://no-such-name.invalid:{port}/", lookup=lookup)) == "taken"
    assert asked == ["no-such-name.invalid"]
    assert f"host: no-such-name.invalid:{port}".encode() in requests[0].lower()


def test_tls_is_checked() -> None:
    with server(says(b"this is no TLS")) as (port, _):
        assert "TLS failed" in what(post(f"https://127.0.0.1:{port}/"))


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    posted = post(f"http://127.0.0.1:{port}/")
    assert what(posted) == "no connection (ConnectError)"
    assert "no connection" in what(post("http://no-such-name.invalid/"))
