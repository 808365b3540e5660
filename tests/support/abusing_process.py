"""Everybody who abuses a gateway, in a process of their own: abusing_process.py PORT KEY LIMITED_KEY AGENCY.

Begins at once, ends when its input does, and prints how often each kind of abuse got which status, as JSON.
"""

from __future__ import annotations

import gzip
import json
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import httpx2

from gateway_process import BATCH, STRUCTURED, cloud_event, feedback, post

SLOW_CONNECTIONS = 200
FEWEST_GUESSES = 25


class Abuse:
    """What somebody does again and again until it is over, and what was answered."""

    def __init__(self, port: int, key: str) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.over = threading.Event()
        self._port = port
        self._key = key

    def slow(self) -> None:
        """200 connections that send a byte now and then: half a head, or half a body."""
        head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._key}\r\n"
        body = f"{head}Content-Type: {STRUCTURED}\r\nContent-Length: 100000\r\n\r\n{{"
        open_: list[socket.socket] = []
        while not (self.over.is_set() and self._answered("slow")):
            while len(open_) < SLOW_CONNECTIONS:
                one = socket.create_connection(("127.0.0.1", self._port), timeout=5)
                one.sendall((head if len(open_) % 2 else body).encode())
                open_.append(one)
            for one in [*open_]:
                try:
                    one.sendall(b" ")
                except OSError:  # the gateway has lost its patience
                    open_.remove(one)
                    one.close()
                    self.answers["slow", 408] += 1
            self.over.wait(0.2)
        for one in open_:
            one.close()

    def posting(self, name: str, content: bytes, **headers: str) -> Callable[[], None]:
        """The same body over and over, once at least."""

        def work() -> None:
            with self._client(self._key) as client:
                while not (self.over.is_set() and self._answered(name)):
                    with suppress(httpx2.TransportError):  # an answer before the end of a large body
                        answer = client.post(
                            "/v1/events", content=content, headers={"Content-Type": STRUCTURED, **headers}
                        )
                        self.answers[name, answer.status_code] += 1
                    self.over.wait(0.02)

        return work

    def guessing(self) -> None:
        """Keys that might be right: more than a minute's, however slow the machine."""
        number = 0
        with self._client("") as client:
            while number <= FEWEST_GUESSES or not self.over.is_set():
                number += 1
                client.headers["Authorization"] = f"Bearer pbk_{number:012x}_{'A' * 43}"
                self.answers["guessing", post(client, {}).status_code] += 1

    def flooding(self) -> None:
        """More requests than its key may send: until it is told so, however slow the machine."""
        with self._client(self._key) as client:
            while not (self.over.is_set() and self.answers["flood", 429]):
                self.answers["flood", post(client, {}).status_code] += 1
                self.over.wait(0.02)

    def _answered(self, name: str) -> bool:
        return any(known == name for known, _ in list(self.answers))

    def _client(self, key: str) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx2.Client(base_url=f"http://127.0.0.1:{self._port}", headers=headers, timeout=40)


def main(port: int, key: str, limited_key: str, agency: str) -> None:
    """Abuses until the input ends."""
    abuse, limited = Abuse(port, key), Abuse(port, limited_key)
    events = [cloud_event(feedback(number, agency=agency), f"/{agency}/nobody") for number in range(400)]
    members = {f"x{number}": 1 for number in range(60_000)}
    fields = cloud_event(feedback(1, agency=agency), f"/{agency}/abuser", data=members)
    works = [
        abuse.slow,
        abuse.guessing,
        abuse.posting("huge", b" " * 10_000_000),
        abuse.posting("deep", b"[" * 900_000),
        abuse.posting("bomb", gzip.compress(b"0" * 50_000_000), **{"Content-Encoding": "gzip"}),
        abuse.posting("fields", json.dumps(fields).encode()),
        abuse.posting("others", json.dumps(events).encode(), **{"Content-Type": BATCH}),
        *[limited.flooding] * 3,
    ]
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    print("begun", flush=True)
    sys.stdin.read()
    for one in (abuse, limited):
        one.over.set()
    for thread in threads:
        thread.join(60)
    found = abuse.answers + limited.answers
    print(json.dumps([[name, status, count] for (name, status), count in sorted(found.items())]), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:5])
