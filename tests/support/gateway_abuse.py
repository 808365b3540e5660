"""A gateway under abuse: slow heads and bodies, huge and deep ones, bombs, wrong keys, too many requests.

An honest portal publishes all the while, and is answered in time; the gateway stays small.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil

from gateway_process import GatewayProcess, cloud_event, feedback, post
from lanes import make_topics
from portalbus.infra.stack import Endpoints
from portalbus.schemas.registration import register_all
from portalbus.schemas.registry import SchemaRegistry

PROGRAM = Path(__file__).with_name("abusing_process.py")
HONEST_RATE = 20
MOST_RESIDENT = 300e6
MOST_TIMES = 10
QUIET = 20
FEW = 500
LIMITS = ("--body-s", "3", "--head-s", "3", "--canary-s", "0", "--failures-per-minute", "20")
WANTED = {
    "slow": {408},
    "guessing": {401, 429},
    "huge": {413},
    "deep": {400},
    "bomb": {415},
    "fields": {422},
    "others": {207},
    "flood": {422, 429},
}


@contextmanager
def impatient_gateway(endpoints: Endpoints, folder: Path, agency: str) -> Iterator[GatewayProcess]:
    """A gateway with three seconds of patience for a head and for a body."""
    register_all(SchemaRegistry(endpoints.registry_url))
    make_topics(endpoints.bootstrap, agency)
    process = GatewayProcess(endpoints, folder, *LIMITS).start()
    try:
        yield process
    except BaseException:
        process.kill()
        raise
    assert process.stop() == 0, process.log.read_text()[-3_000:]


def assert_abuse_is_borne(gateway: GatewayProcess, agency: str, seconds: float, most_ms: float) -> None:
    """Everybody abuses it for so long; each kind of abuse gets its 4xx, and the honest portal its answers in time."""
    keys = (gateway.key(agency, "abuser"), gateway.key(agency, "flooder", rate=5.0))
    honest: list[float] = []
    resident = 0.0
    pause = threading.Event()
    with gateway.client(gateway.key(agency, "honest")) as client:
        quiet_ms = [_publish(client, agency, 900_000 + number) for number in range(QUIET)]
        abusers = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(gateway.port), *keys, agency],
            env={**os.environ, "PYTHONPATH": str(PROGRAM.parent)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert abusers.stdout is not None
        assert abusers.stdout.readline() == "begun\n"
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            honest.append(_publish(client, agency, len(honest)))
            resident = max(resident, psutil.Process(gateway.pid).memory_info().rss)
            pause.wait(max(len(honest) / HONEST_RATE - (time.monotonic() - began), 0))
        said, _ = abusers.communicate(timeout=120)
    answers = json.loads(said)
    share = 0.99 if len(honest) > FEW else 0.95
    late = sorted(honest)[int(len(honest) * share)]
    quiet = statistics.median(quiet_ms)
    print(
        f"{len(honest)} honest answers, p{share * 100:.0f} {late:.0f} ms (before the abuse {quiet:.0f} ms),"
        f" resident {resident / 1e6:.0f} MB, abuse {answers}"
    )
    found: dict[str, set[int]] = {}
    for name, status, _ in answers:
        found.setdefault(name, set()).add(status)
    assert found == WANTED
    assert resident < MOST_RESIDENT
    # On a machine that others keep busy too, it is the abuse that must not slow an honest portal down.
    assert late < max(most_ms, MOST_TIMES * quiet)
    assert not gateway.said("gateway.failed")


def _publish(client: httpx2.Client, agency: str, number: int) -> float:
    """Publishes one feedback; returns after how many milliseconds it was answered."""
    at = time.perf_counter()
    answer = post(client, cloud_event(feedback(number, agency=agency), f"/{agency}/honest"))
    assert answer.status_code == 202, answer.text
    return (time.perf_counter() - at) * 1_000
