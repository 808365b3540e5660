"""CSV as offices write it: any delimiter, quoted or not, in Unicode or in what there was before."""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from portalbus.connectors.pull import vietnamese_encodings as vietnamese
from portalbus.connectors.pull.drop_folder.settings import DropFolderConfig
from portalbus.connectors.pull.drop_folder.table import MAX_COLUMNS, Row, Table, TableUnreadable, named
from portalbus.connectors.pull.web.encodings import surely_masked

SAMPLE_BYTES = 256 * 1024
CHUNK_BYTES = 1024 * 1024
MAX_LINE_CHARACTERS = 4 * 1024 * 1024
MAX_CELL_CHARACTERS = 1024 * 1024
"""Longer than any field of the contract; a quotation mark that is never closed is noticed by it."""
DELIMITERS = (",", ";", "\t", "|")
SEPARATOR_LINE = re.compile(r"sep=(.)\s*\Z", re.IGNORECASE)
QUOTED = re.compile(r'"[^"]*"')
CODECS = {vietnamese.TCVN3: "latin-1", vietnamese.WINDOWS_1258: "cp1258"}


def read_csv(file: BinaryIO, config: DropFolderConfig) -> Table:
    """The table in a CSV file. Raises TableUnreadable."""
    sample = file.read(SAMPLE_BYTES)
    encoding, notes = _encoding(sample, config)
    _check(file, encoding)
    masked = encoding.startswith("utf") and surely_masked(vietnamese.decoded(sample, encoding))
    if masked:
        notes.append("its letters are TCVN3 (ABC) that a program took for Latin-1; they were converted")
    file.seek(0)
    text = io.TextIOWrapper(file, CODECS.get(encoding, encoding), newline="")
    lines = _lines(text, encoding, masked=masked)
    first = next(lines, "")
    if (said := SEPARATOR_LINE.fullmatch(first)) is not None:
        delimiter = said.group(1)
    else:
        delimiter = config.delimiter or _delimiter(first)
        lines = chain([first], lines)
    csv.field_size_limit(MAX_CELL_CHARACTERS)  # the process has one limit, and nothing else in it reads CSV
    rows = _rows(csv.reader(lines, delimiter=delimiter), 1 if said else 0)
    _, columns = next(rows, (1, []))
    if not columns:
        raise TableUnreadable("file.empty")
    if len(columns) > MAX_COLUMNS:
        raise TableUnreadable("file.too-large", bound=f"{len(columns)} > {MAX_COLUMNS}")
    return Table(named(columns), rows, notes)


def _encoding(sample: bytes, config: DropFolderConfig) -> tuple[str, list[str]]:
    if config.encoding != "auto":
        given = config.encoding
        return ("utf-8-sig" if given == "utf-8" else given), []
    guess = vietnamese.guessed(sample)
    if guess is None:
        raise TableUnreadable("file.encoding-unclear")
    notes = [f"it is in {guess}; it was read as that"] if guess in CODECS else []
    return ("utf-8-sig" if guess == "utf-8" else guess), notes


def _check(file: BinaryIO, encoding: str) -> None:
    """Every byte must be text before the first row is taken: half a file is worse than none."""
    decoder = codecs.getincrementaldecoder(CODECS.get(encoding, encoding))()
    file.seek(0)
    line = 1
    try:
        while chunk := file.read(CHUNK_BYTES):
            line += decoder.decode(chunk).count("\n")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        around = error.object[: error.start].count(b"\n")
        name = encoding.removesuffix("-sig")
        raise TableUnreadable("file.encoding-broken", line=line + around, encoding=name) from None


def _lines(text: io.TextIOWrapper, encoding: str, *, masked: bool) -> Iterator[str]:
    while line := text.readline(MAX_LINE_CHARACTERS):
        if len(line) >= MAX_LINE_CHARACTERS:
            raise TableUnreadable("file.line-too-long", bound=MAX_LINE_CHARACTERS)
        if encoding == vietnamese.TCVN3:
            line = line.translate(vietnamese.TCVN3_LETTERS)
        elif masked:
            line = vietnamese.unmasked(line)
        yield unicodedata.normalize("NFC", line)


def _rows(reader: Iterator[list[str]], before: int) -> Iterator[Row]:
    """Rows that hold anything, with their numbers; a cell may hold line breaks, so rows are counted, not lines."""
    number = before
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise TableUnreadable("file.cell-too-long", row=number, bound=MAX_CELL_CHARACTERS) from None
        if any(cell.strip() for cell in cells):
            yield number, cells


def _delimiter(line: str) -> str:
    """The one that stands most often between the names of the columns."""
    bare = QUOTED.sub("", line)
    return max(DELIMITERS, key=bare.count)
