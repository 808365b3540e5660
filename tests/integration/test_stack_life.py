"""The embedded stack as a guest: it comes up without a network and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from portalbus.infra.stack import (
    AlreadyRunning,
    Quiet,
    Stack,
    StackError,
    default_cache,
    spawn_detached,
    wait_until_up,
)
from portalbus.infra.stack.jars import Lock
from portalbus.infra.stack.kafka import Kafka
from portalbus.infra.stack.ports import Ports

Eventually = Callable[[Callable[[], bool]], bool]

OWNER = """\
import sys, time
from pathlib import Path
from portalbus.infra.stack import Lines, Stack, orderly_end
with orderly_end(), Stack(Path(sys.argv[1]), progress=Lines(sys.stdout), usual_ports=None):
    print("UP", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder whose databases have been made, in which one test after the other starts a stack."""
    home = tmp_path_factory.mktemp("life")
    with Stack(home, usual_ports=None):
        pass
    return home


def of_home(home: Path) -> list[psutil.Process]:
    """Find every live process that has to do with a state folder, its owner apart."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = process.info["cmdline"] or []
        if process.info["status"] == psutil.STATUS_ZOMBIE or "-c" in command[:3]:
            continue
        try:
            inside = process.cwd().startswith(str(home))
        except psutil.Error:
            inside = False
        if process.pid != os.getpid() and (inside or any(str(home) in part for part in command)):
            found.append(process)
    return found


class Owner:
    """A process of its own that has the stack up, and what it has printed."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
        )
        self.lines: list[str] = []

    def read_until(self, words: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if words in line:
                return
        raise AssertionError(f"{words!r} was never said, but: {''.join(self.lines)}")

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        assert self.process.stdout is not None
        if not self.process.stdout.closed:
            self.lines += self.process.stdout.readlines()
            self.process.stdout.close()
        return self.process.wait(60)


@pytest.fixture
def owner_of() -> Iterator[Callable[..., Owner]]:
    owners: list[Owner] = []

    def start(home: Path, **environment: str) -> Owner:
        owners.append(Owner(home, **environment))
        return owners[-1]

    yield start
    for owner in owners:
        owner.end(signal.SIGKILL)


def test_a_second_start_needs_no_network(home: Path, owner_of: Callable[..., Owner]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"http://127.0.0.1:{server.getsockname()[1]}"
    owner = owner_of(home, HTTP_PROXY=closed, HTTPS_PROXY=closed, PORTALBUS_MAVEN_REPOSITORY=closed)
    owner.read_until("UP")
    assert not any("fetching" in line for line in owner.lines)
    assert owner.end(signal.SIGTERM) == 128 + signal.SIGTERM


@pytest.mark.parametrize("moment", ["… starting", "✓ starting PostgreSQL", "✓ starting Kafka", "UP"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_behind_however_and_whenever_it_ends(
    home: Path,
    owner_of: Callable[..., Owner],
    eventually: Eventually,
    moment: str,
    number: signal.Signals,
) -> None:
    owner = owner_of(home)
    owner.read_until(moment)
    owner.end(number)
    assert eventually(lambda: not of_home(home)), of_home(home)


def test_data_is_there_after_the_owner_was_killed(
    home: Path, owner_of: Callable[..., Owner], eventually: Eventually
) -> None:
    owner = owner_of(home)
    owner.read_until("UP")
    with psycopg.connect(Stack(home).status().endpoints.database_url) as connection:  # type: ignore[union-attr]
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    owner.end(signal.SIGKILL)
    with Stack(home) as stack, psycopg.connect(stack.endpoints.database_url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        connection.execute("DROP TABLE kept")


def test_a_running_stack_is_told_from_another_process_and_taken_down(
    home: Path, owner_of: Callable[..., Owner], eventually: Eventually
) -> None:
    owner = owner_of(home)
    owner.read_until("UP")
    status = Stack(home).status()
    assert status.running
    assert status.owner == owner.process.pid
    assert all(service.resident for service in status.services)
    with pytest.raises(AlreadyRunning):
        Stack(home).up()
    assert Stack(home).status().running
    Stack(home).down()
    assert not Stack(home).status().running
    assert Stack(home).status().endpoints is None
    assert eventually(lambda: not of_home(home))


def test_down_without_a_stack_is_no_error(tmp_path: Path) -> None:
    Stack(tmp_path).down()
    assert not Stack(tmp_path).status().running


def test_a_detached_stack_outlives_the_process_that_asked_for_it(home: Path, eventually: Eventually) -> None:
    asking = f"""\
import sys
from pathlib import Path
from portalbus.infra.stack import spawn_detached, wait_until_up
home = Path(sys.argv[1])
wait_until_up(home, spawn_detached(home, [sys.executable, "-c", {OWNER!r}, str(home)]))
"""
    subprocess.run([sys.executable, "-c", asking, str(home)], check=True, timeout=120)
    try:
        assert Stack(home).status().running
    finally:
        Stack(home).down()
    assert eventually(lambda: not of_home(home))


def test_a_detached_stack_that_fails_says_why(home: Path) -> None:
    pid = spawn_detached(home, [sys.executable, "-c", "import sys; sys.exit('no such option')"])
    with pytest.raises(StackError, match="no such option"):
        wait_until_up(home, pid)


def test_another_port_is_taken_when_the_usual_one_is(home: Path, tmp_path: Path) -> None:
    (home / "ports.json").unlink()
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        with Stack(home, usual_ports=Ports(taken, taken, taken, taken, taken)) as stack:
            assert str(taken) not in stack.endpoints.bootstrap
            first = stack.endpoints
    with Stack(home) as stack:
        assert stack.endpoints == first


class Thief(Quiet):
    """Takes a service's port in the moment before it starts, when the stack has found it free."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.taken: list[socket.socket] = []
        self.stack: Stack | None = None

    def step(self, text: str) -> None:
        """Called when something begins."""
        if text == f"starting {self.service}" and not self.taken and self.stack is not None:
            services = (self.stack.kafka, self.stack.postgres, self.stack.registry)
            port = next(service.ports[0] for service in services if service.name == self.service)
            self.taken.append(socket.create_server(("127.0.0.1", port)))


@pytest.mark.parametrize("service", ["Kafka", "PostgreSQL"])
def test_a_start_is_tried_again_when_a_free_port_is_taken_just_before_its_service(service: str, home: Path) -> None:
    (home / "ports.json").unlink(missing_ok=True)
    thief = Thief(service)
    stack = Stack(home, progress=thief, usual_ports=None)
    thief.stack = stack
    try:
        with stack:
            (stolen,) = thief.taken
            port = stolen.getsockname()[1]
            assert port not in (stack.kafka.port, stack.postgres.port)
            assert str(port) not in (home / "ports.json").read_text()
    finally:
        for server in thief.taken:
            server.close()


def test_no_port_is_open_to_the_network(home: Path) -> None:
    with Stack(home, usual_ports=None):
        listening = {
            connection.laddr.ip
            for process in of_home(home)
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        }
    assert listening == {"127.0.0.1"}


def test_a_changed_jar_is_refused_before_a_jvm_starts(home: Path, tmp_path: Path) -> None:
    lock = Lock.shipped()
    genuine = default_cache() / f"jars-{lock.digest}"
    copied = tmp_path / genuine.name
    shutil.copytree(genuine, copied, copy_function=os.symlink)
    jar = next(copied.rglob("kafka-clients-4.4.0.jar"))
    content = bytearray(jar.read_bytes())
    content[1000] ^= 1
    jar.unlink()
    jar.write_bytes(content)
    before = (home / "logs/kafka.log").stat().st_size
    with pytest.raises(StackError, match=r"kafka-clients-4\.4\.0\.jar is not the file that was locked"):
        Stack(home, usual_ports=None, cache=tmp_path).up()
    assert (home / "logs/kafka.log").stat().st_size == before
    assert not of_home(home)


def test_a_state_folder_with_spaces_and_marks_in_its_path_works(tmp_path: Path) -> None:
    with Stack(tmp_path / "Cổng thông tin (thử)", usual_ports=None) as stack:
        assert stack.status().running


def test_the_whole_stack_at_rest_takes_less_than_a_gigabyte(home: Path) -> None:
    with Stack(home, usual_ports=None) as stack:
        resident = sum(service.resident or 0 for service in stack.status().services)
    assert resident < 1_000_000_000


def test_a_service_that_does_not_answer_leaves_in_its_log_what_it_was_doing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Kafka, "is_ready", lambda _: False)
    monkeypatch.setattr(Kafka, "start_patience_s", 6.0)
    with pytest.raises(StackError, match="Kafka did not answer within 6 s") as raised, Stack(home, usual_ports=None):
        pass
    assert "kafka.log" in raised.value.remedy
    assert "Full thread dump" in (home / "logs" / "kafka.log").read_text()
    assert of_home(home) == []
