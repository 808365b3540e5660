"""Processes of the stack: started, recognised, ended, and never left behind."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from portalbus.infra.stack.errors import Cancelled, PortTaken, StackError
from portalbus.infra.stack.process import Command, ProcessRecord, Service, end, spawn
from portalbus.infra.stack.unprivileged import may_override, service_user

WAITER = "import time; print('ready', flush=True); time.sleep(600)"


def eventually(condition: Callable[[], bool], patience_s: float = 10.0) -> bool:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Waiter(Service):
    """A service that is ready when it has printed a line."""

    name = "waiter"
    start_patience_s = 10.0

    def __init__(self, folder: Path, code: str = WAITER) -> None:
        super().__init__(folder / "waiter.log", folder / "waiter.pid")
        self._marker = str(folder)
        self._code = code

    def command(self) -> Command:
        return Command((sys.executable, "-c", self._code, self._marker), marker=self._marker)

    def is_ready(self) -> bool:
        return self.log.exists() and "ready" in self.log.read_text()


@pytest.fixture
def waiter(tmp_path: Path) -> Waiter:
    return Waiter(tmp_path)


def test_a_service_is_found_again_by_its_pid_file(waiter: Waiter, tmp_path: Path) -> None:
    waiter.start()
    try:
        assert waiter.pid is not None
        assert Waiter(tmp_path).pid == waiter.pid
    finally:
        waiter.stop()
    assert waiter.pid is None
    assert not waiter.pid_file.exists()


def test_a_killed_service_starts_again(waiter: Waiter) -> None:
    waiter.start()
    first = waiter.pid
    waiter.kill()
    waiter.start()
    second = waiter.pid
    waiter.stop()
    assert second not in (None, first)


def test_a_pid_that_now_belongs_to_another_program_is_not_ours(tmp_path: Path) -> None:
    mine = ProcessRecord.of(os.getpid(), "")
    assert mine.process() is not None
    assert ProcessRecord(mine.pid, mine.started - 60, "").process() is None
    assert ProcessRecord(mine.pid, mine.started, str(tmp_path / "elsewhere")).process() is None


def test_stop_leaves_another_program_with_the_same_pid_alone(waiter: Waiter, tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", WAITER], stdout=subprocess.DEVNULL)
    try:
        record = ProcessRecord.of(stranger.pid, str(tmp_path))
        record.write(waiter.pid_file)
        waiter.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("text", ["", "12", "{", '{"pid": 1}'])
def test_a_damaged_pid_file_names_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.pid").write_text(text)
    assert ProcessRecord.read(tmp_path / "x.pid") is None


def test_a_service_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    broken = Waiter(tmp_path, "import sys; sys.exit('FATAL: no such table')")
    with pytest.raises(StackError, match=r"waiter ended with status 1 while starting.*no such table") as caught:
        broken.start()
    assert str(broken.log) in caught.value.remedy


def test_a_start_that_is_called_off_starts_nothing(waiter: Waiter) -> None:
    def check() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        waiter.start(check)
    assert waiter.pid is None


def test_one_that_ignores_the_gentle_signal_is_killed(tmp_path: Path) -> None:
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITER}"
    stubborn = Waiter(tmp_path, code)
    stubborn.stop_patience_s = 0.2
    stubborn.start()
    stubborn.stop()
    assert stubborn.pid is None


def test_children_end_with_their_parent(tmp_path: Path) -> None:
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WAITER!r}, sys.argv[1]]); {WAITER}"
    family = Waiter(tmp_path, code)
    family.stop_patience_s = 0.2
    family.start()
    assert family.pid is not None
    children = psutil.Process(family.pid).children()
    family.stop()
    assert children
    assert all(not child.is_running() for child in children)


def test_a_service_outlives_the_thread_that_started_it(waiter: Waiter) -> None:
    thread = threading.Thread(target=waiter.start)
    thread.start()
    thread.join()
    try:
        # Were the death of the thread the service's end, it would be gone by the time a second one is up.
        other = Waiter(waiter.pid_file.parent / "..")
        assert not eventually(lambda: waiter.pid is None, patience_s=0.3)
        assert other.pid is None
    finally:
        waiter.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_services_die_with_their_parent_however_it_ends(tmp_path: Path, number: signal.Signals) -> None:
    parent_code = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from portalbus.infra.stack.process import Command, spawn
        code = {WAITER!r}
        child = spawn(Command((sys.executable, "-c", code), marker=code), Path(sys.argv[1]))
        print(child.pid, flush=True)
        time.sleep(600)
        """
    )
    command = [sys.executable, "-c", parent_code, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(number)
    assert eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_the_environment_of_a_service_is_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1m")
    monkeypatch.setenv("PGDATA", "/nowhere")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    command = Command((sys.executable, "-c", code), marker="", environment={"GIVEN": "yes"})
    assert spawn(command, tmp_path / "log").wait() == 0
    environment = json.loads((tmp_path / "log").read_text())
    assert environment["GIVEN"] == "yes"
    assert not {"JAVA_TOOL_OPTIONS", "PGDATA"} & set(environment)


def test_ending_a_process_that_has_ended_is_no_error() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    process = psutil.Process(gone.pid)
    gone.wait()
    end(process, signal.SIGTERM, 1.0)


class NeverReady(Waiter):
    """A service that ends before it is ready."""

    def is_ready(self) -> bool:
        return False


@pytest.mark.parametrize(
    "said",
    [
        "java.net.BindException: Address already in use",
        "ERROR Unable to start Kafka: Socket server failed to bind to 127.0.0.1:9092: Address already in use.",
        'LOG:  could not bind IPv4 address "127.0.0.1": Address already in use',
        "Port 8081 seems to be in use by another process.",
    ],
)
def test_a_service_that_finds_its_port_taken_says_so_even_when_the_other_program_is_gone(
    said: str, tmp_path: Path
) -> None:
    with pytest.raises(PortTaken):
        NeverReady(tmp_path, f"import sys; print({said!r}, flush=True); sys.exit(1)").start()


def test_a_service_that_ends_for_another_reason_does_not_blame_a_port(tmp_path: Path) -> None:
    with pytest.raises(StackError) as caught:
        NeverReady(tmp_path, "import sys; print('no disk', flush=True); sys.exit(1)").start()
    assert not isinstance(caught.value, PortTaken)


@pytest.mark.skipif(os.geteuid() != 0 or not may_override(), reason="only root's processes keep a right of root's")
def test_a_service_of_roots_finds_its_programs_in_a_folder_that_is_closed_to_others(tmp_path: Path) -> None:
    """As initdb looks for them, by access(2), which asks for the real user."""
    program = tmp_path / "closed" / "postgres"
    program.parent.mkdir(mode=0o700)
    program.write_text("", encoding="utf-8")
    program.chmod(0o755)
    user = service_user([program])
    assert user is not None and user.reach
    look = f"import os; print(os.getuid(), os.access({str(program)!r}, os.X_OK))"
    spawned = spawn(Command((sys.executable, "-c", look), marker="access", user=user), tmp_path / "log")
    assert spawned.wait(20) == 0
    assert (tmp_path / "log").read_text().split() == [str(user.uid), "True"]
