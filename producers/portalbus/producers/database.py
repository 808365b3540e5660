"""One SQLite connection to an outbox file, with its errors in the words of the bus."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portalbus.producers.outbox_schema import migrate
from portalbus.schemas.errors import OutboxDamaged, OutboxFull, OutboxUnavailable

BUSY_SECONDS = 30.0
PUBLISHER_CHECKPOINT_PAGES = 8_000
"""A publisher moves the log into the file only when nobody delivers: that takes longer than a publish should."""


class Database:
    """A connection for one thread at a time; opened when first needed, and again after `close()`.

    `durable` waits for the disk at each commit. Without it a power cut may undo the last commits (never part of
    one), which is good enough for what can be found out again.
    """

    def __init__(self, path: Path, *, durable: bool) -> None:
        self.path = path
        self.lock = threading.RLock()
        self._durable = durable
        self._connection: sqlite3.Connection | None = None
        self._pid = 0

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: all of it or nothing. Raises OutboxFull, OutboxDamaged or OutboxUnavailable."""
        with self.lock, self._errors():
            connection = self._open()
            connection.execute("begin immediate")
            try:
                yield connection
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read one consistent state from."""
        with self.lock, self._errors():
            connection = self._open()
            connection.execute("begin")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("rollback")

    def checkpoint(self, *, restart: bool = False) -> None:
        """Moves the write-ahead log into the file; `restart` waits for readers so that the log starts over."""
        with self.lock, self._errors():
            self._open().execute(f"pragma wal_checkpoint({'restart' if restart else 'passive'})").fetchall()

    def sound(self) -> None:
        """Checks the structure of the whole file. Raises OutboxDamaged."""
        with self.reading() as connection:
            found = connection.execute("pragma quick_check(3)").fetchall()
        if found != [("ok",)]:
            raise OutboxDamaged(f"{self.path} is damaged ({found[0][0]}): {REPAIR}")

    def close(self) -> None:
        """Closes the connection; the next use opens another one."""
        with self.lock:
            if self._connection is not None:
                connection, self._connection = self._connection, None
                connection.close()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _connect(self.path, self._durable)
            self._pid = os.getpid()
        elif self._pid != os.getpid():
            # SQLite's locks do not cross a fork, and the parent may remove the log under this process; even closing
            # the connection here could. With Python's fork hooks it would have been closed before.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))
            raise OutboxUnavailable(
                f"{self.path} was open when this process was forked without Python's fork hooks; nothing was stored. "
                "Load the application in each worker (uWSGI: lazy-apps), or first publish after the fork"
            )
        return self._connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise self._translated(error) from error

    def _translated(self, error: sqlite3.DatabaseError) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return OutboxFull(f"no space left on the disk of {self.path}; nothing was stored. Free some space.")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or isinstance(error, sqlite3.IntegrityError):
            return OutboxDamaged(f"{self.path} is damaged ({error}): {REPAIR}")
        if code == sqlite3.SQLITE_ERROR and "no such" in str(error):
            return OutboxDamaged(f"{self.path} lacks a table ({error}): {REPAIR}")
        return OutboxUnavailable(
            f"{self.path} cannot be used now ({error}); nothing was stored. "
            "Is another process holding it, is it writable for this user, is the disk well?"
        )


REPAIR = "run `portalbus outbox repair`; it starts a new epoch and keeps every event that was not delivered"


def create_file(path: Path) -> None:
    """Creates an empty file that only its owner may read, in a folder that only its owner may enter."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _connect(path: Path, durable: bool) -> sqlite3.Connection:
    # mode=rw: a file that vanished must be noticed, not made anew.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_SECONDS,
    )
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute(f"pragma synchronous = {'full' if durable else 'normal'}")
        connection.execute(f"pragma wal_autocheckpoint = {PUBLISHER_CHECKPOINT_PAGES if durable else 0}")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection
