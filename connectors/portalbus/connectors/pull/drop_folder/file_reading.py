"""One file of a drop folder while it is read: its rows as items, and the report on them."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from portalbus.connectors.pull.drop_folder.csv_table import read_csv
from portalbus.connectors.pull.drop_folder.filing import DONE, REFUSED, Report
from portalbus.connectors.pull.drop_folder.settings import DropFolderConfig
from portalbus.connectors.pull.drop_folder.table import Table, TableUnreadable
from portalbus.connectors.pull.drop_folder.trouble import Trouble
from portalbus.connectors.pull.drop_folder.waiting import Waiting
from portalbus.connectors.pull.drop_folder.xlsx_table import read_xlsx
from portalbus.connectors.pull.found import FoundItem, Reading, Remark
from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.rows.batches import BATCH_ITEMS, Remarks
from portalbus.connectors.pull.rows.reading import RowReader

if TYPE_CHECKING:
    from portalbus.connectors.pull.comparing import Outcome

LEFT_OUT = "left out"


class FileReading:
    """One file while it is read."""

    def __init__(self, config: DropFolderConfig, waiting: Waiting) -> None:
        self._config = config
        self._waiting = waiting
        self.place = waiting.path.name
        self.remarks = Remarks()
        self.ids: set[str] = set()
        self.ended = False
        self.refused = False
        self._numbers: dict[str, int] = {}
        self._report = Report()
        self._end = time.monotonic() + config.longest
        self._items = self._read()

    def take(self) -> tuple[FoundItem, ...]:
        """The items of the next rows; `ended` says that these are the last."""
        self._numbers.clear()
        items: list[FoundItem] = []
        try:
            for item in self._items:
                items.append(item)
                if len(items) >= BATCH_ITEMS:
                    return tuple(items)
        except TableUnreadable as error:
            self._refuse(error.trouble)
        except ReadFailed as error:
            self._refuse(Trouble("file.columns", {"reason": error.what}))
        self.ended = True
        return tuple(items)

    def note(self, reading: Reading, outcome: Outcome) -> None:
        """What became of the items of a reading."""
        refused = {item.item_id: item.findings for item in outcome.refused}
        events = {event.item_id: event.what.value for event in outcome.events}
        for item in reading.items:
            self._report.counts["refused" if item.id in refused else events.get(item.id, "unchanged")] += 1
        for item_id, findings in refused.items():
            for finding in findings:
                self._report.line(self._numbers.get(item_id), item_id, "refused", finding, finding.path)

    def file(self, now: datetime) -> None:
        """Moves the file out of the way: to `refused` when nothing in it could be taken. Raises OSError.

        A file that was written to meanwhile stays, and is read again.
        """
        if not self._waiting.is_same(self._waiting.path.lstat()):
            return
        counts = self._report.counts
        nothing = counts.total() > 0 and counts.total() == counts["refused"] + counts[LEFT_OUT]
        self._report.file(self._waiting.path, REFUSED if self.refused or nothing else DONE, now)

    def close(self) -> None:
        """Closes the file; what was written of the report and not filed is deleted."""
        self._items.close()
        self._report.close()

    def _refuse(self, trouble: Trouble) -> None:
        self.refused = True
        self.remarks.add(Remark(self.place, trouble.explain()))
        self._report.line(None, "", "refused", trouble)

    def _read(self) -> Generator[FoundItem, None, None]:
        if self._waiting.size > self._config.max_bytes:
            raise TableUnreadable("file.too-large", bound=f"{self._waiting.size} > {self._config.max_bytes} bytes")
        try:
            file = self._waiting.open()
        except OSError as error:
            raise TableUnreadable("file.cannot-open", reason=error.strerror or error) from None
        with file:
            table = (read_xlsx if self._waiting.is_sheet else read_csv)(file, self._config)
            for note in table.notes:
                self.remarks.add(Remark(self.place, note))
            yield from self._rows_of(table)

    def _rows_of(self, table: Table) -> Iterator[FoundItem]:
        reader = RowReader(self._config, table.columns, self.place)
        columns = ", ".join(table.columns[place] for place in reader.keys)
        for count, (number, cells) in enumerate(table.rows, 1):
            if count > self._config.max_items:
                raise TableUnreadable("file.too-large", bound=f"{count} > {self._config.max_items} rows")
            if time.monotonic() > self._end:
                raise TableUnreadable("file.too-large", bound=f"> {self._config.longest:g} s")
            if not _fits(cells, len(table.columns)):
                params = {"cells": str(len(cells)), "columns": str(len(table.columns))}
                self._leave_out(number, "", Trouble("row.cells", params))
            elif not (item_id := reader.id(cells)):
                self._leave_out(number, "", Trouble("row.no-key", {"columns": columns}))
            elif item_id in self.ids:
                self._leave_out(number, item_id, Trouble("row.key-twice"))
            else:
                self.ids.add(item_id)
                for item in reader.items(cells, item_id, ""):
                    self._numbers[item.id] = number
                    yield item

    def _leave_out(self, number: int, item_id: str, trouble: Trouble) -> None:
        self.remarks.add(Remark(f"{self.place} row {number}", trouble.explain()))
        self._report.counts[LEFT_OUT] += 1
        self._report.line(number, item_id, LEFT_OUT, trouble)


def _fits(cells: Sequence[Any], width: int) -> bool:
    """Whether a row has a cell for each column; more only when nothing is in them."""
    return len(cells) == width or (len(cells) > width and not any(str(cell or "").strip() for cell in cells[width:]))
