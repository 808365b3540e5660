"""Where a file goes when it was read: to `done/` or `refused/`, a report beside it."""

from __future__ import annotations

import csv
import os
import shutil
from collections import Counter
from datetime import datetime
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Protocol

from portalbus.schemas.models import Texts

DONE, REFUSED = "done", "refused"
COLUMNS = ("row", "id", "what", "rule", "field", "vi", "en", "zh", "vi_mend", "en_mend", "zh_mend")
FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t")
MAX_LINES = 20_000
IN_MEMORY_BYTES = 1024 * 1024


class Said(Protocol):
    """Why something was not taken: a finding of the rules, or a trouble with the file."""

    @property
    def rule(self) -> str:
        """Its id."""
        ...

    @property
    def message(self) -> Texts:
        """What is wrong."""
        ...

    @property
    def mend(self) -> Texts | None:
        """How to mend it."""
        ...


class Report:
    """The report on one file while it is read: a line for each row that was not taken, and a summary.

    It is CSV in UTF-8 with a byte order mark, which office programs open as it is. Nothing of it is in the folder
    until the file is filed.
    """

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(  # noqa: SIM115 - close() closes it
            max_size=IN_MEMORY_BYTES, mode="w+", encoding="utf-8", newline=""
        )
        self._writer = csv.writer(self._file)
        self._writer.writerow(COLUMNS)
        self._lines = 0
        self.counts: Counter[str] = Counter()

    def line(self, row: int | None, item_id: str, what: str, said: Said, path: str = "") -> None:
        """One row that was not taken (None: the whole file), and why."""
        self._lines += 1
        if self._lines > MAX_LINES:
            return
        mend = said.mend
        texts = [said.message.vi, said.message.en, said.message.zh]
        texts += [mend.vi, mend.en, mend.zh] if mend else ["", "", ""]
        cells = [str(row or ""), item_id, what, said.rule, path, *texts]
        self._writer.writerow([_harmless(cell) for cell in cells])

    def file(self, read: Path, place: str, now: datetime) -> None:
        """Moves the file to `done` or `refused` beside it, with this report. Raises OSError."""
        folder = read.parent / place
        folder.mkdir(exist_ok=True)
        target = _free(folder, read, now)
        blank = [""] * (len(COLUMNS) - 3)
        if self._lines > MAX_LINES:
            self._writer.writerow(["", "", f"{self._lines - MAX_LINES} more", *blank])
        summary = ", ".join(f"{number} {what}" for what, number in sorted(self.counts.items())) or "no rows"
        self._writer.writerow(["", "", f"{place}: {summary}", *blank])
        self._file.seek(0)
        unfinished = folder / f".{target.name}.report.part"
        with unfinished.open("w", encoding="utf-8-sig", newline="") as out:
            shutil.copyfileobj(self._file, out)
            out.flush()
            os.fsync(out.fileno())
        # The report first: a file without one would say nothing, a report without its file is written again.
        unfinished.replace(target.with_name(f"{target.name}.report.csv"))
        read.rename(target)

    def close(self) -> None:
        """Deletes what was written so far."""
        self._file.close()


def _harmless(cell: str) -> str:
    """A cell that no office program takes for a formula."""
    return "'" + cell if cell.startswith(FORMULA_BEGINNINGS) else cell


def _free(folder: Path, waiting: Path, now: datetime) -> Path:
    """The file's own name, or with the time in it where that is taken."""
    target = folder / waiting.name
    stamp, number = now.strftime("%Y%m%dT%H%M%SZ"), 1
    while target.exists():
        more = f"-{number}" if number > 1 else ""
        target = folder / f"{waiting.stem}.{stamp}{more}{waiting.suffix}"
        number += 1
    return target
