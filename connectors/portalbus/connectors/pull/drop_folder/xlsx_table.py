"""XLSX, read as a stream: what a formula showed when the file was saved, and never the formula."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, BinaryIO

from openpyxl import load_workbook
from openpyxl.cell.cell import ERROR_CODES

from portalbus.connectors.pull.drop_folder.settings import DropFolderConfig
from portalbus.connectors.pull.drop_folder.table import MAX_COLUMNS, Row, Table, TableUnreadable, named
from portalbus.connectors.pull.vietnamese_encodings import unmasked
from portalbus.connectors.pull.web.encodings import surely_masked

OLE = b"\xd0\xcf\x11\xe0"
"""How old .xls files begin, and .xlsx files with a password."""
MAX_PARTS = 5_000
MAX_RATIO = 200
"""Sheets shrink to a tenth or a thirtieth; what shrinks to less than a two-hundredth was made to harm."""
SMALL_BYTES = 1024 * 1024
MAX_STRINGS_BYTES = 64 * 1024 * 1024
"""The texts of a workbook are in memory at once while it is read."""
SAMPLE_ROWS = 200
MAX_EMPTY_ROWS = 100_000
"""After so many empty rows in one run nothing more is looked for."""


def read_xlsx(file: BinaryIO, config: DropFolderConfig) -> Table:
    """The table in a sheet: the one that is named, else the first. Raises TableUnreadable."""
    _check(file, config)
    file.seek(0)
    try:
        book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        if config.sheet and config.sheet not in book.sheetnames:
            there = ", ".join(book.sheetnames[:20])
            raise TableUnreadable("file.sheet-missing", sheet=config.sheet, there=there)
        sheet = book[config.sheet] if config.sheet else book.worksheets[0]
        sheet.reset_dimensions()  # what the file says of its size need not be true
        head = next(_rows(sheet.iter_rows(max_col=MAX_COLUMNS, values_only=True)), None)
        if head is None:
            raise TableUnreadable("file.empty")
        number, names = head
        columns = named(names)
        rows = _sound(_rows(sheet.iter_rows(min_row=number + 1, max_col=len(columns), values_only=True), number))
        sample = list(islice(rows, SAMPLE_ROWS))
    except TableUnreadable:
        raise
    except Exception as error:  # openpyxl raises whatever a broken part leads to
        raise _broken(error) from None
    texts = [cell for _, cells in ((0, names), *sample) for cell in cells if isinstance(cell, str)]
    masked = surely_masked("\n".join(texts))
    notes = ["its letters are TCVN3 (ABC) that a program took for Latin-1; they were converted"] if masked else []
    columns = [unmasked(name) for name in columns] if masked else columns
    return Table(columns, _cleaned(chain(sample, rows), masked=masked), notes)


def _check(file: BinaryIO, config: DropFolderConfig) -> None:
    file.seek(0)
    if file.read(4) == OLE:
        raise TableUnreadable("file.old-or-locked")
    try:
        with zipfile.ZipFile(file) as parts:
            infos = parts.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise TableUnreadable("file.no-workbook") from None
    unpacked = sum(info.file_size for info in infos)
    strings = max((info.file_size for info in infos if info.filename.lower().endswith("sharedstrings.xml")), default=0)
    tight = [info for info in infos if info.file_size > SMALL_BYTES and info.file_size > MAX_RATIO * info.compress_size]
    if len(infos) > MAX_PARTS or tight or unpacked > config.max_unpacked_bytes or strings > MAX_STRINGS_BYTES:
        raise TableUnreadable("file.unpacks-too-large", parts=len(infos), bytes=unpacked)


def _rows(rows: Iterator[Sequence[Any]], before: int = 0) -> Iterator[Row]:
    """Rows that hold anything, with their numbers."""
    empty = 0
    for number, cells in enumerate(rows, before + 1):
        if any(cell is not None and cell != "" for cell in cells):
            empty = 0
            yield number, cells
        elif (empty := empty + 1) > MAX_EMPTY_ROWS:
            return


def _sound(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows; a part that turns out to be broken is said in the table's own words."""
    try:
        yield from rows
    except Exception as error:
        raise _broken(error) from None


def _broken(error: Exception) -> TableUnreadable:
    return TableUnreadable("file.part-broken", reason=type(error).__name__)


def _cleaned(rows: Iterable[Row], *, masked: bool) -> Iterator[Row]:
    for number, cells in rows:
        yield number, [_cell(cell, masked=masked) for cell in cells]


def _cell(cell: Any, *, masked: bool) -> Any:
    """What a cell shows; an error of the sheet (`#REF!`) is nothing."""
    if not isinstance(cell, str):
        return cell
    if cell in ERROR_CODES:
        return None
    return unmasked(cell) if masked else cell
