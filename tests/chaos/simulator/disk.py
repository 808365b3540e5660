"""A disk that forgets: what no `fsync` has brought to it is gone after a power cut.

SQLite says by its `xSync` which file it wants on the disk. This module listens there, inside the very SQLite library
that Python uses; so it is the real outbox that decides what is safe, and a setting that syncs too little shows.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

Pointer = ctypes.c_void_p
_OPEN = ctypes.CFUNCTYPE(ctypes.c_int, *[Pointer] * 3, ctypes.c_int, Pointer)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, Pointer, ctypes.c_int)
METHODS = 18
SYNC = 4
"""Place of `xSync` among the methods of a file."""


class _Vfs(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_int),
        ("file_size", ctypes.c_int),
        ("longest_path", ctypes.c_int),
        ("next", Pointer),
        ("name", ctypes.c_char_p),
        ("data", Pointer),
        ("open", Pointer),
    )


class _Methods(ctypes.Structure):
    _fields_ = (("version", ctypes.c_int), ("calls", Pointer * METHODS))


class _File(ctypes.Structure):
    _fields_ = (("methods", ctypes.POINTER(_Methods)),)


class SqliteSyncs:
    """Calls `heard` with the path of each file that SQLite syncs, while it is installed. Once a process."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        """Raises OSError or AttributeError where SQLite's own functions cannot be reached."""
        import _sqlite3

        library = ctypes.CDLL(_sqlite3.__file__)
        find = library.sqlite3_vfs_find
        find.restype = ctypes.POINTER(_Vfs)
        self._heard = heard
        self._paths: dict[int, str] = {}
        self._tables: dict[int, _Methods] = {}
        self._vfs = find(None).contents
        self._before = self._vfs.open
        self._open = _OPEN(self._before)
        self._hooks = (_OPEN(self._opened), _SYNC(self._synced))
        self._vfs.open = ctypes.cast(self._hooks[0], Pointer).value

    def _opened(self, vfs: Any, name: Any, file: Any, flags: int, out: Any) -> int:
        result: int = self._open(vfs, name, file, flags, out)  # the very pointer: more follows behind the name
        if result == sqlite3.SQLITE_OK and name is not None:
            self._paths[file] = os.fsdecode(ctypes.string_at(name))
            self._listen(file)
        return result

    def _listen(self, file: int) -> None:
        """Puts our `xSync` into the file's table of methods: a copy, for SQLite's own is constant."""
        found = _File.from_address(file)
        address = ctypes.addressof(found.methods.contents)
        if address not in self._tables:
            table = _Methods()
            ctypes.memmove(ctypes.byref(table), address, ctypes.sizeof(_Methods))
            table.calls[SYNC] = ctypes.cast(self._hooks[1], Pointer).value
            self._tables[address] = table
        found.methods = ctypes.pointer(self._tables[address])

    def _synced(self, file: int, flags: int) -> int:
        # The disk of the simulation is memory: there is nothing to wait for, and what counts is that it was asked.
        self._heard(self._paths.get(file, ""))
        return sqlite3.SQLITE_OK


class Disk:
    """The files below one folder, with what of them would outlive a power cut."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._synced_log: dict[str, int] = {}
        self._synced_mark: dict[str, bytes] = {}

    def heard(self, path: str) -> None:
        """SQLite has synced a file. Only the log grows without; the database file is synced before the log restarts."""
        if path.endswith("-wal"):
            self._synced_log[path] = os.stat(path).st_size  # noqa: PTH116 - thousands of times a second

    def mark_synced(self, path: Path) -> None:
        """The mark was brought to the disk."""
        self._synced_mark[str(path)] = path.read_bytes()

    def kill(self, folder: Path, close: Callable[[], None]) -> None:
        """The process dies: `close` lets go of its files, which stay as they are at this moment."""
        kept = {file: file.read_bytes() for file in folder.iterdir() if file.suffix in (".outbox", ".outbox-wal")}
        synced = dict(self._synced_log)
        close()  # in order, which a dying process would not: what SQLite does and syncs now is undone
        self._synced_log = synced
        for file, content in kept.items():
            if not file.exists() or file.stat().st_size != len(content) or file.read_bytes() != content:
                file.write_bytes(content)
        for file in folder.glob("*-shm"):
            file.unlink()

    def cut_power(self, folder: Path, random: Random) -> None:
        """What was not synced is lost from some byte on; the processes are dead already."""
        for log in folder.glob("*.outbox-wal"):
            size = log.stat().st_size
            safe = min(self._synced_log.get(str(log), 0), size)
            os.truncate(log, random.choice((safe, random.randint(safe, size))))
        for mark in folder.glob("*.mark"):
            if random.random() < 0.5:
                mark.write_bytes(self._synced_mark.get(str(mark), b""))

    def renamed(self) -> None:
        """Logs were made anew under the same names: a log that is closed in order is gone from the disk with it."""
        self._synced_log = {path: size for path, size in self._synced_log.items() if Path(path).exists()}


@contextmanager
def listening(disk: Disk) -> Iterator[None]:
    """This disk hears what SQLite syncs while inside."""
    global _disk
    _install()
    before, _disk = _disk, disk
    try:
        yield
    finally:
        _disk = before


_disk: Disk | None = None
_installed: SqliteSyncs | None = None


def _install() -> None:
    global _installed
    if _installed is None:
        _installed = SqliteSyncs(lambda path: _disk.heard(path) if _disk is not None else None)


def can_listen() -> bool:
    """True where SQLite's own functions can be reached: not in every build of Python."""
    try:
        _install()
    except (OSError, AttributeError, ImportError):
        return False
    return True
