"""The gateway under abuse: slow heads and bodies, huge and deep ones, bombs, wrong keys, too many requests.

An honest portal publishes all the while, and is answered in time; the gateway stays small.
"""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx2
import psutil
import pytest

from gateway_process import BATCH, STRUCTURED, GatewayProcess, cloud_event, feedback, post
from lanes import make_topics
from portalbus.infra.stack import Endpoints
from portalbus.schemas.registration import register_all
from portalbus.schemas.registry import SchemaRegistry

pytestmark = pytest.mark.chaos  # minutes long: run by name, not by `make test`

SLOW_CONNECTIONS = 200
HONEST_RATE = 20
MOST_RESIDENT = 300e6
MOST_P99_MS = 500


@pytest.fixture(scope="module")
def gateway(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    register_all(SchemaRegistry(endpoints.registry_url))
    make_topics(endpoints.bootstrap, "H26")
    folder = tmp_path_factory.mktemp("abused")
    process = GatewayProcess(endpoints, folder, "--body-s", "3", "--head-s", "3", "--canary-s", "0").start()
    yield process
    assert process.stop() == 0, process.log.read_text()[-3_000:]


class Abuse:
    """What somebody does again and again until it is over, and what was answered."""

    def __init__(self, gateway: GatewayProcess, key: str) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.over = threading.Event()
        self._gateway = gateway
        self._key = key

    def slow(self) -> None:
        """200 connections that send a byte now and then: half a head, or half a body."""
        head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._key}\r\n"
        body = f"{head}Content-Type: {STRUCTURED}\r\nContent-Length: 100000\r\n\r\n{{"
        open_: list[socket.socket] = []
        while not self.over.is_set():
            while len(open_) < SLOW_CONNECTIONS:
                one = socket.create_connection(("127.0.0.1", self._gateway.port), timeout=5)
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
        """The same body over and over."""

        def work() -> None:
            with self._gateway.client(self._key) as client:
                while not self.over.is_set():
                    with suppress(httpx2.TransportError):  # an answer before the end of a large body
                        answer = client.post(
                            "/v1/events", content=content, headers={"Content-Type": STRUCTURED, **headers}
                        )
                        self.answers[name, answer.status_code] += 1
                    self.over.wait(0.02)

        return work

    def guessing(self) -> None:
        """Keys that might be right."""
        number = 0
        while not self.over.is_set():
            number += 1
            with self._gateway.client(f"pbk_{number:012x}_{'A' * 43}") as client:
                self.answers["guessing", post(client, {}).status_code] += 1


@pytest.mark.parametrize("seconds", [6.0, pytest.param(120.0, marks=pytest.mark.chaos)])
def test_abuse_gets_its_4xx_and_an_honest_portal_its_answer(seconds: float, gateway: GatewayProcess) -> None:
    abuse = Abuse(gateway, gateway.key("H26", "abuser"))
    limited = Abuse(gateway, gateway.key("H26", "flooder", rate=5.0))
    many = json.dumps([cloud_event(feedback(number), "/H26/nobody") for number in range(400)]).encode()
    fields = json.dumps(cloud_event(feedback(1), data={f"x{number}": 1 for number in range(60_000)})).encode()
    works = [
        abuse.slow,
        abuse.guessing,
        abuse.posting("huge", b" " * 10_000_000),
        abuse.posting("deep", b"[" * 900_000),
        abuse.posting("bomb", gzip.compress(b"0" * 50_000_000), **{"Content-Encoding": "gzip"}),
        abuse.posting("fields", fields),
        abuse.posting("others", many, **{"Content-Type": BATCH}),
        *[limited.posting("flood", b"{}") for _ in range(3)],
    ]
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    honest: list[float] = []
    resident = 0.0
    with gateway.client(gateway.key("H26", "honest")) as client:
        assert post(client, cloud_event(feedback(0), "/H26/honest")).status_code == 202
        for thread in threads:
            thread.start()
        began = time.monotonic()
        number = 0
        while time.monotonic() - began < seconds:
            number += 1
            at = time.perf_counter()
            assert post(client, cloud_event(feedback(number), "/H26/honest")).status_code == 202
            honest.append((time.perf_counter() - at) * 1_000)
            resident = max(resident, psutil.Process(gateway.pid).memory_info().rss)
            abuse.over.wait(max(number / HONEST_RATE - (time.monotonic() - began), 0))
    for one in (abuse, limited):
        one.over.set()
    for thread in threads:
        thread.join(20)
    answers = dict(abuse.answers + limited.answers)
    p99 = sorted(honest)[int(len(honest) * 0.99)]
    print(f"{len(honest)} honest answers, p99 {p99:.0f} ms, resident {resident / 1e6:.0f} MB, abuse {answers}")
    wanted = {
        "slow": {408},
        "guessing": {401, 429},
        "huge": {413},
        "deep": {400},
        "bomb": {415},
        "fields": {422},
        "others": {207},
        "flood": {422, 429},
    }
    found: dict[str, set[int]] = {}
    for name, status in answers:
        found.setdefault(name, set()).add(status)
    assert found == wanted
    assert resident < MOST_RESIDENT
    assert p99 < MOST_P99_MS
    assert not gateway.said("gateway.failed")
