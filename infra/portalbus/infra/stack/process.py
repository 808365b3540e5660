"""Processes that we start: found again by pid file, ended for certain, never outliving their parent."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from portalbus.infra.stack.endpoints import write_private
from portalbus.infra.stack.errors import PortTaken, StackError

LAUNCHER = Path(__file__).with_name("launcher.py")
START_TOLERANCE_S = 2.0
PORT_TAKEN = ("Address already in use", "BindException", "seems to be in use by another process", "Port already bound")
"""What PostgreSQL and Java say in their logs when somebody else has their port."""


@dataclass(frozen=True)
class User:
    """An unprivileged user to run a service as; `reach` keeps the right to enter root's folders."""

    uid: int
    gid: int
    reach: bool


@dataclass(frozen=True)
class ProcessRecord:
    """What a pid file says: enough to tell our process from a later one with the same pid."""

    pid: int
    started: float
    marker: str

    @classmethod
    def of(cls, pid: int, marker: str) -> ProcessRecord:
        return cls(pid, psutil.Process(pid).create_time(), marker)

    @classmethod
    def read(cls, path: Path) -> ProcessRecord | None:
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        write_private(path, json.dumps(self.__dict__) + "\n")

    def process(self) -> psutil.Process | None:
        """Return the live process, or None when it has ended or the pid is now another process's."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < START_TOLERANCE_S
            ours = same and self.marker in "\0".join(process.cmdline())
            return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def end(process: psutil.Process, gentle: signal.Signals, patience_s: float) -> None:
    """Ask a process and its children to end, wait, and then kill what is left of them."""
    try:
        family = [process, *process.children(recursive=True)]
        process.send_signal(gentle)
    except psutil.NoSuchProcess:
        return
    _, alive = psutil.wait_procs(family, timeout=patience_s)
    for member in alive:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=10)


Start = Callable[[], subprocess.Popen[bytes]]


class _Spawner:
    """Starts all processes from one thread that lives as long as ours does.

    Linux sends the parent-death signal when the *thread* that made the child ends, so a service that was
    started from a thread of a pool would be killed when the pool shrinks.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Start, Future[subprocess.Popen[bytes]]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._lock = threading.Lock()

    def _work(self) -> None:
        while True:
            job, result = self._jobs.get()
            try:
                result.set_result(job())
            except BaseException as error:  # handed to the caller, who waits for the result
                result.set_exception(error)

    def popen(self, job: Start) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._thread is None or self._pid != os.getpid():
                self._pid = os.getpid()
                self._thread = threading.Thread(target=self._work, name="portalbus-spawner", daemon=True)
                self._thread.start()
        result: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((job, result))
        return result.result()


_spawner = _Spawner()


@dataclass(frozen=True)
class Command:
    """How to start a service; `death_signal` is what the kernel sends it when we die.

    `marker` is a part of `argv` that no other program on the machine has.
    """

    argv: tuple[str, ...]
    marker: str
    environment: Mapping[str, str] = field(default_factory=dict)
    user: User | None = None
    death_signal: signal.Signals = signal.SIGKILL


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what would steer a JVM or PostgreSQL (JAVA_TOOL_OPTIONS, PGDATA, …)."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "USER", "TZ") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **extra}


def spawn(command: Command, log: Path) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, with its output appended to `log`."""

    def start() -> subprocess.Popen[bytes]:
        spec: dict[str, object] = {"parent": os.getpid(), "signal": int(command.death_signal)}
        if command.user:
            spec.update(command.user.__dict__)
        with log.open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(spec), *command.argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=clean_environment(command.environment),
                start_new_session=True,
            )

    return _spawner.popen(start)


class Service:
    """One process of the stack. Subclasses say how it is started and when it is ready."""

    name: str
    ports: tuple[int, ...] = ()
    was_started = False
    stop_signal = signal.SIGTERM
    dump_signal: signal.Signals | None = None
    """What makes it write to its log what its threads are doing, where it knows such a signal, as a JVM does."""
    stop_patience_s = 15.0
    start_patience_s = 120.0

    def __init__(self, log: Path, pid_file: Path) -> None:
        self.log = log
        self.pid_file = pid_file
        self._popen: subprocess.Popen[bytes] | None = None
        # A start that is called off and the stop that calls it off: either sees the other's process.
        self._gate = threading.Lock()

    def command(self) -> Command:
        raise NotImplementedError

    def prepare(self) -> None:
        """Make what the first start needs."""

    def is_ready(self) -> bool:
        """Ask the service itself; never waits longer than a second or two."""
        raise NotImplementedError

    def settle(self) -> None:
        """Do what is to be done once it answers."""

    @property
    def record(self) -> ProcessRecord | None:
        return ProcessRecord.read(self.pid_file)

    @property
    def pid(self) -> int | None:
        """The pid of the running service, or None."""
        process = self.record and self.record.process()
        return process.pid if process else None

    def start(self, check: Callable[[], None] = lambda: None) -> None:
        """Start it and wait until it answers; `check` is called now and then, and raises to call it off."""
        if self.pid is not None:
            return
        if self._popen is not None:
            self._popen.wait()  # killed from outside: a zombie until somebody asks for its status
        self.prepare()
        command = self.command()
        log_start = self.log.stat().st_size if self.log.exists() else 0
        with self._gate:
            check()
            popen = self._popen = spawn(command, self.log)
            self.was_started = True
            try:
                ProcessRecord.of(popen.pid, command.marker).write(self.pid_file)
            except psutil.NoSuchProcess:
                self._fail("ended at once", log_start)
        self._wait_ready(popen, check, log_start)
        self.settle()

    def _wait_ready(self, popen: subprocess.Popen[bytes], check: Callable[[], None], log_start: int) -> None:
        deadline = time.monotonic() + self.start_patience_s
        while not (self.is_ready() and self._listens(popen.pid)):
            check()
            code = popen.poll()
            if code is not None:
                self._fail(f"ended with status {code} while starting", log_start)
            if time.monotonic() > deadline:
                try:
                    self._fail(f"did not answer within {self.start_patience_s:.0f} s", log_start)
                finally:  # what it said last comes first, and then why it says nothing
                    if self.dump_signal is not None:
                        popen.send_signal(self.dump_signal)
            time.sleep(0.05)

    def _listens(self, pid: int) -> bool:
        """Whether it is this process that answered: another program may have taken the port a moment before."""
        try:
            sockets = psutil.Process(pid).net_connections("tcp")
        except psutil.AccessDenied:
            return True  # a process of another user, which only root may look into
        except psutil.NoSuchProcess:
            return False
        mine = {socket.laddr.port for socket in sockets if socket.status == psutil.CONN_LISTEN}
        return not self.ports or self.ports[0] in mine

    def _fail(self, what: str, log_start: int) -> None:
        with self.log.open("rb") as log:
            log.seek(log_start)
            lines = log.read().decode(errors="replace").strip().splitlines()
        worst = next((line for line in lines if any(word in line for word in ("FATAL", "ERROR"))), "")
        said = (worst or (lines[-1] if lines else "nothing")).strip()
        lost = any(word in line for line in lines for word in PORT_TAKEN)
        raise (PortTaken if lost else StackError)(f"{self.name} {what}, and said: {said[:300]}", f"read {self.log}")

    def stop(self) -> None:
        """End it in an orderly way, or by force when it does not end in time."""
        self._end(self.stop_signal, self.stop_patience_s)

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL, no chance to tidy up."""
        self._end(signal.SIGKILL, 10.0)

    def _end(self, gentle: signal.Signals, patience_s: float) -> None:
        with self._gate:
            record = self.record
            process = record.process() if record else None
            if process is not None:
                end(process, gentle, patience_s)
            if self._popen is not None:
                self._popen.wait()
                self._popen = None
            self.pid_file.unlink(missing_ok=True)
