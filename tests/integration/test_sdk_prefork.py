"""Prefork servers: workers that come and go, one that is killed, and nothing is lost.

Under gunicorn the portal was used before the workers came to be; uWSGI loads it in each worker (`lazy-apps`).
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil
import pytest

from lanes import events_of, first_arrivals, make_topics
from portalbus.infra.stack import Endpoints
from portalbus.producers import Portal
from portalbus.schemas.registration import register_all
from portalbus.schemas.registry import SchemaRegistry

SUPPORT = Path(__file__).parents[1] / "support"
WORKERS, REQUESTS, CLIENTS = 4, 1_200, 8


@pytest.mark.parametrize("kind", ["gunicorn", "uwsgi"])
def test_a_prefork_server_publishes_from_every_worker(
    endpoints: Endpoints, tmp_path: Path, eventually: Callable[[Callable[[], bool]], bool], kind: str
) -> None:
    register_all(SchemaRegistry(endpoints.registry_url))
    make_topics(endpoints.bootstrap, "H26")
    address = tmp_path / "server.sock"
    name = f"{kind}-{secrets.token_hex(3)}"  # the lane is there for the whole session
    server = start_server(endpoints, tmp_path, address, kind, name)
    lock, answers, killed = threading.Lock(), [], threading.Event()

    def ask(number: int) -> None:
        answer = request(address)
        if answer is None:
            return  # its worker was killed or recycled in the middle: not acknowledged
        with lock:
            answers.append(answer)
        if number == REQUESTS // 2 and not killed.is_set():
            killed.set()
            os.kill(answer["pid"], signal.SIGKILL)

    try:
        assert eventually(lambda: request(address) is not None), (tmp_path / "server.log").read_text()
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(ask, range(REQUESTS)))
    finally:
        stop_server(server)
    portal = Portal(
        "H26", name, bootstrap=endpoints.bootstrap, registry_url=endpoints.registry_url, outbox=tmp_path / "outbox"
    )
    assert portal.flush(30)
    portal.close()

    pids = {answer["pid"] for answer in answers}
    assert killed.is_set()
    assert len(pids) > WORKERS, "workers were recycled"
    assert len(answers) > REQUESTS * 0.9, (tmp_path / "server.log").read_text()[-3_000:]
    events = events_of(endpoints.bootstrap, "lane.H26", f"H26/{name}")
    firsts = first_arrivals(events)
    assert [event.sequence for event in firsts] == list(range(1, len(firsts) + 1)), "in order, without a hole"
    on_lane = {event.sequence: event.event_id for event in firsts}
    assert {answer["sequence"]: answer["id"] for answer in answers}.items() <= on_lane.items()
    twice = len(events) - len(firsts)
    print(
        f"{len(pids)} workers, 1 killed: {len(answers)} acknowledged, {len(firsts)} on the lane, 0 lost, {twice} twice"
    )


def stop_server(server: subprocess.Popen[bytes]) -> None:
    """Ends it as a process manager would; uwsgi loses a signal that comes while it makes a worker anew."""
    for _ in range(3):
        server.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            server.wait(5)
            return
    master = psutil.Process(server.pid)
    for process in [*master.children(recursive=True), master]:
        process.kill()  # how uWSGI ends is not what is tested here
    server.wait(15)


def start_server(endpoints: Endpoints, folder: Path, address: Path, kind: str, name: str) -> subprocess.Popen[bytes]:
    """A server of that kind for the portal `name`, its socket at `address`, its log in `folder`."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(SUPPORT),
        "PORTALBUS_AGENCY": "H26",
        "PORTALBUS_PORTAL": name,
        "PORTALBUS_BOOTSTRAP": endpoints.bootstrap,
        "PORTALBUS_REGISTRY": endpoints.registry_url,
        "PORTALBUS_OUTBOX": str(folder / "outbox"),
    }
    command = gunicorn(address) if kind == "gunicorn" else uwsgi(address)
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(
            command,
            env=environment,
            stdout=log,
            stderr=log,
        )


def gunicorn(address: Path) -> list[str]:
    """With `--preload`: the application, its portal and a first publish come before the fork."""
    options = [f"--workers={WORKERS}", "--max-requests=100", "--max-requests-jitter=30", "--preload", "--timeout=20"]
    return [sys.executable, "-m", "gunicorn", *options, f"--bind=unix:{address}", "portal_server:application"]


def uwsgi(address: Path) -> list[str]:
    """With the two options that the how-to asks for."""
    program = str(Path(sys.executable).with_name("uwsgi"))
    options = ["--master", f"--processes={WORKERS}", "--max-requests=100", "--min-worker-lifetime=1"]
    return [
        program,
        *options,
        "--die-on-term",
        "--need-app",
        "--lazy-apps",
        "--enable-threads",
        f"--http-socket={address}",
        "--module=portal_server",
    ]


def request(address: Path) -> dict[str, int] | None:
    """One request; None when the server did not answer it."""
    connection = HTTPConnection("localhost", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.sock.settimeout(20)
        connection.sock.connect(str(address))
        connection.request("POST", "/")
        response = connection.getresponse()
        found: dict[str, int] = json.loads(response.read())
        return found if response.status == 200 else None
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
