"""Which files of a folder wait to be read: tables that nobody writes to any more."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from portalbus.connectors.pull.drop_folder.settings import DropFolderConfig
from portalbus.connectors.pull.found import Remark
from portalbus.connectors.pull.kind import ReadFailed

CSV_ENDINGS = (".csv", ".tsv", ".txt")
XLSX_ENDINGS = (".xlsx", ".xlsm")
UNFINISHED_ENDINGS = (".part", ".tmp", ".partial", ".crdownload", ".filepart")
UNFINISHED_BEGINNINGS = (".", "~")
"""Programs write to such names first, and office programs lock a file by one."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that is ready to be read, as it was seen."""

    path: Path
    size: int
    changed_ns: int

    @property
    def is_sheet(self) -> bool:
        """Whether it is a workbook."""
        return self.path.suffix.lower() in XLSX_ENDINGS

    def open(self) -> BinaryIO:
        """Opens it. Raises OSError when it is a link, or no longer the file that was seen."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        file = os.fdopen(descriptor, "rb")
        if not self.is_same(os.fstat(descriptor)):
            file.close()
            raise OSError(f"{self.path.name} was written to")
        return file

    def is_same(self, seen: os.stat_result) -> bool:
        """Whether the file is still as it was."""
        return stat.S_ISREG(seen.st_mode) and (self.size, self.changed_ns) == (seen.st_size, seen.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the folder saw: files to read, the oldest first, and remarks on what is left alone."""

    ready: tuple[Waiting, ...]
    remarks: tuple[Remark, ...] = ()


def look_at(config: DropFolderConfig, now: datetime) -> Look:
    """Looks at the folder. Raises ReadFailed when it is not there or cannot be read."""
    folder = Path(config.address)
    ready, remarks = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) or _unfinished(entry.name):
                    continue
                path = folder / entry.name
                if (said := _cannot_be_read(entry, path)) is not None:
                    remarks.append(Remark(entry.name, said))
                    continue
                seen = entry.stat(follow_symlinks=False)
                # The status change too: a copy may bring an old time of change with it.
                if now.timestamp() - max(seen.st_mtime, seen.st_ctime) >= config.settle:
                    ready.append(Waiting(path, seen.st_size, seen.st_mtime_ns))
    except OSError as error:
        mend = "Make the folder, mount it, or let this user read it and write to it"
        raise ReadFailed(config.address, f"the folder cannot be read ({error.strerror})", mend) from None
    ready.sort(key=lambda waiting: (waiting.changed_ns, waiting.path.name))
    return Look(tuple(ready), tuple(sorted(remarks, key=lambda remark: remark.place)))


def _unfinished(name: str) -> bool:
    lowered = name.lower()
    return lowered.startswith(UNFINISHED_BEGINNINGS) or lowered.endswith(UNFINISHED_ENDINGS)


def _cannot_be_read(entry: os.DirEntry[str], path: Path) -> str | None:
    if not entry.is_file(follow_symlinks=False):
        return "this is no plain file, so it is left alone; put the file itself here"
    if path.suffix.lower() not in CSV_ENDINGS + XLSX_ENDINGS:
        return "only .csv, .tsv, .txt and .xlsx are read; save it as one of these"
    return None
