"""The highest sequence ever acknowledged, kept in a file of its own.

An SQLite file that lost its tail opens without complaint, only shorter. The mark is what makes that visible: it is
raised after each commit and before any caller is answered, so it is never ahead of what was committed and never
behind what was acknowledged, unless it cannot be written: then status() says so until it can.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from portalbus.schemas.errors import OutboxDamaged

_SLOT = struct.Struct(">8sIQI")
_MAGIC = b"PBMARK1\n"
_SLOT_AT = (0, 512)
"""Two slots, one a disk sector: a torn write can spoil only the one that was being written."""


class Mark(NamedTuple):
    """An epoch and the highest sequence acknowledged in it."""

    epoch: int
    sequence: int


class HighWater:
    """The mark of one outbox. Not for use over a fork: `close()` before, it opens again by itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def read(self) -> Mark | None:
        """The mark, or None when there is no file yet. Raises OutboxDamaged when the file is unreadable."""
        if self._fd is None and not self.path.exists():
            return None
        return self._newest(self._open())

    def raise_to(self, mark: Mark) -> None:
        """Raises the mark; a lower one changes nothing. Several processes may do so at once."""
        fd = self._open()
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            slots = _read_slots(fd)
            if mark > max(slots):
                os.pwrite(fd, _pack(mark), _SLOT_AT[slots.index(min(slots))])
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)

    def sync(self) -> None:
        """Brings the mark to the disk; it outlives a killed process without, but not a power cut."""
        if self._fd is not None:
            os.fsync(self._fd)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)  # its name too: a new file's is not on the disk with its content
            finally:
                os.close(folder)

    def close(self) -> None:
        """Lets go of the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        if self._fd is None:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._fd

    def _newest(self, fd: int) -> Mark | None:
        newest = max(_read_slots(fd))
        if newest == _NONE and os.fstat(fd).st_size:
            raise OutboxDamaged(f"{self.path} is unreadable: run `portalbus outbox repair`")
        return None if newest == _NONE else newest


_NONE = Mark(0, 0)


def _read_slots(fd: int) -> list[Mark]:
    data = os.pread(fd, _SLOT_AT[-1] + _SLOT.size, 0)
    return [_unpack(data[place : place + _SLOT.size]) for place in _SLOT_AT]


def _pack(mark: Mark) -> bytes:
    head = _MAGIC + struct.pack(">IQ", mark.epoch, mark.sequence)
    return head + struct.pack(">I", zlib.crc32(head))


def _unpack(raw: bytes) -> Mark:
    if len(raw) < _SLOT.size:
        return _NONE
    magic, epoch, sequence, checksum = _SLOT.unpack(raw)
    if magic != _MAGIC or checksum != zlib.crc32(raw[:-4]):
        return _NONE
    return Mark(epoch, sequence)
