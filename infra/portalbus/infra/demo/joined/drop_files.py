"""A portal whose people put a CSV file into a folder for each document."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

from portalbus.schemas.models import DirectivePublished

COLUMNS = ("Mã", "Số ký hiệu", "Loại văn bản", "Tiêu đề", "Nội dung", "Ngày ban hành", "Đường dẫn")


class DropFiles:
    """The folder, made when it is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._written = 0
        folder.mkdir(parents=True, exist_ok=True)

    def publish(self, document: DirectivePublished) -> None:
        """Puts one more file there, whole."""
        out = StringIO()
        writer = csv.writer(out, quoting=csv.QUOTE_ALL)
        writer.writerow(COLUMNS)
        writer.writerow(
            (
                document.directive_id,
                document.number,
                document.document_type,
                document.title,
                document.body,
                document.issued_on.strftime("%d/%m/%Y"),
                document.canonical_url,
            )
        )
        self._written += 1
        unfinished = self.folder.with_name(f"{self.folder.name}.unfinished")
        unfinished.write_text(out.getvalue(), encoding="utf-8", newline="")
        unfinished.replace(self.folder / f"{self._written:03d}.csv")
