"""Files that people and broken programs put into a drop folder."""

from __future__ import annotations

import os
import unicodedata
import zipfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from openpyxl import Workbook

from portalbus.connectors.pull.vietnamese_encodings import TCVN3_LETTERS, TONES

COLUMNS = ("Mã", "Số ký hiệu", "Loại văn bản", "Tiêu đề", "Nội dung", "Ngày ban hành", "Đường dẫn")
AN_HOUR = timedelta(hours=1)


def document(number: int, title: str = "Về việc chiếu sáng công cộng") -> list[str]:
    """The cells of a row that the rules accept."""
    return [
        str(number),
        f"{number}/CT-UBND",
        "Chỉ thị",
        title,
        "Các sở, ban, ngành kiểm tra hệ thống chiếu sáng.",
        "20/11/2026",
        f"https://hanoi.gov.vn/van-ban/{number}",
    ]


def csv_text(rows: Iterable[Sequence[str]], delimiter: str = ",", columns: Sequence[str] = COLUMNS) -> str:
    """Rows under their columns; cells are quoted."""
    quoted = [delimiter.join(f'"{cell}"' for cell in row) for row in (columns, *rows)]
    return "\r\n".join(quoted) + "\r\n"


def drop(folder: Path, name: str, content: bytes | str) -> Path:
    """Puts a finished file into the folder, as of an hour ago."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    past = (datetime.now(UTC) - AN_HOUR).timestamp()
    os.utime(path, (past, past))
    return path


def later() -> datetime:
    """The time an hour from now: nobody has written to anything since."""
    return datetime.now(UTC) + AN_HOUR


def workbook(rows: Iterable[Sequence[Any]], columns: Sequence[str] = COLUMNS) -> bytes:
    """An XLSX file with one sheet."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet("Văn bản")
    sheet.append(list(columns))
    for row in rows:
        sheet.append(list(row))
    out = BytesIO()
    book.save(out)
    return out.getvalue()


def with_part(book: bytes, name: str, content: bytes) -> bytes:
    """The workbook with another content in one of its parts."""
    out = BytesIO()
    with zipfile.ZipFile(BytesIO(book)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, content if part == name else old.read(part))
    return out.getvalue()


def in_tcvn3(text: str) -> bytes:
    """The text as programs wrote it for ABC fonts; capitals with marks have letters of their own only in part."""
    bytes_of = {letter: number for number, letter in sorted(TCVN3_LETTERS.items(), reverse=True)}
    return bytes(ord(letter) if letter.isascii() else bytes_of[letter] for letter in unicodedata.normalize("NFC", text))


def in_windows_1258(text: str) -> bytes:
    """The text with its tones as marks of their own, as windows-1258 has them."""
    out = bytearray()
    for letter in unicodedata.normalize("NFC", text):
        try:
            out += letter.encode("cp1258")
        except UnicodeEncodeError:
            parts = unicodedata.normalize("NFD", letter)
            base = unicodedata.normalize("NFC", "".join(part for part in parts if part not in TONES))
            out += (base + "".join(part for part in parts if part in TONES)).encode("cp1258")
    return bytes(out)
