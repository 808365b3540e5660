"""Who runs the stack of a state folder: one process at a time, held by a file lock."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from portalbus.infra.stack.errors import AlreadyRunning, StackError
from portalbus.infra.stack.paths import StateFolder
from portalbus.infra.stack.process import ProcessRecord, end


class Ownership:
    """Holds the lock of a state folder. The kernel lets go of it when the process ends, however it ends."""

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._fd: int | None = None
        self._pid = 0

    @property
    def held(self) -> bool:
        """True in the process that took it, not in one that was forked from it."""
        return self._fd is not None and self._pid == os.getpid()

    def take(self) -> None:
        """Take the lock and write down who we are, or raise AlreadyRunning."""
        fd = os.open(self._state.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            owner = owner_of(self._state)
            raise AlreadyRunning(self._state.root, owner.pid if owner else None) from error
        self._fd, self._pid = fd, os.getpid()
        ProcessRecord.of(os.getpid(), "").write(self._state.run / "owner.pid")

    def release(self) -> None:
        if self._fd is not None:
            (self._state.run / "owner.pid").unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = None


def is_locked(state: StateFolder) -> bool:
    """Tell whether some process holds the lock."""
    try:
        fd = os.open(state.lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def owner_of(state: StateFolder) -> ProcessRecord | None:
    """Return the process that runs the stack, or None when none does."""
    record = ProcessRecord.read(state.run / "owner.pid")
    return record if record and record.process() else None


def end_owner(state: StateFolder, patience_s: float = 40.0) -> bool:
    """Ask the process that runs the stack to take it down, and wait; tell whether there was one.

    It is asked by SIGTERM. When it does not end in time it is killed, and the kernel ends its services.
    """
    record = owner_of(state)
    process = record.process() if record else None
    if process is None or process.pid == os.getpid() or not is_locked(state):
        return False
    end(process, signal.SIGTERM, patience_s)
    return True


def spawn_detached(home: Path, argv: Sequence[str]) -> int:
    """Start `argv` as a process that outlives this one and its terminal; return its pid.

    It is expected to bring up the stack of `home`; its output goes to `logs/supervisor.log` there. Follow
    with `wait_until_up`.
    """
    state = StateFolder.at(home)
    state.create()
    if is_locked(state):
        owner = owner_of(state)
        raise AlreadyRunning(state.root, owner.pid if owner else None)
    log = state.logs / "supervisor.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, "PORTALBUS_HOME": str(state.root)},
            start_new_session=True,
        )
    # Not ours to wait for any more: it is to live on.
    process.returncode = 0
    return process.pid


def wait_until_up(home: Path, pid: int, patience_s: float = 600.0) -> None:
    """Wait until the process `pid` has the stack of `home` up; StackError when it ends before that."""
    state = StateFolder.at(home)
    deadline = time.monotonic() + patience_s
    while not (state.endpoints.exists() and is_locked(state)):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            lines = (state.logs / "supervisor.log").read_text(errors="replace").strip().splitlines()
            raise StackError(
                f"the stack did not come up; the last word was: {lines[-1] if lines else 'nothing'}",
                f"read {state.logs / 'supervisor.log'}",
            )
        if time.monotonic() > deadline:
            raise StackError("the stack did not come up in time", f"read {state.logs / 'supervisor.log'}")
        time.sleep(0.1)
