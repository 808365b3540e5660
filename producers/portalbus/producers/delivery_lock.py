"""One deliverer per outbox over all processes: a lock that the kernel takes back when its holder dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import ClassVar


class DeliveryLock:
    """A record lock on a file of its own. Record locks are not inherited over a fork, and belong to the process;
    `_held` keeps two portals of one process apart."""

    _held: ClassVar[dict[Path, int]] = {}

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._fd: int | None = None

    def acquire(self) -> bool:
        """Takes the lock if it is free."""
        if self._held.get(self._path) == os.getpid():
            return False
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return False
        self._fd = fd
        self._held[self._path] = os.getpid()
        return True

    def release(self) -> None:
        """Gives it back."""
        if self._fd is not None:
            del self._held[self._path]
            os.close(self._fd)
            self._fd = None
