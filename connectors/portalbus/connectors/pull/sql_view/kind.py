"""The kind `sql`: every row of a view is one item."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from portalbus.connectors.pull.found import Before, Listing, Reading, Remark
from portalbus.connectors.pull.kind import Kind, ReadFailed, ReadOnlySource, Surroundings
from portalbus.connectors.pull.rows.batches import Remarks, Spool, readings
from portalbus.connectors.pull.rows.reading import RowReader, mark_of, without_id
from portalbus.connectors.pull.sql_view.database import ViewDatabase, open_database
from portalbus.connectors.pull.sql_view.settings import SqlViewConfig

ASKED_AT_ONCE = 200
"""So many changed rows are asked for in one statement."""


class SqlView(ReadOnlySource):
    """A view, read in one transaction that sees one state of it.

    What changed is put on disk while the rows stream by, so the database is let go at once, however many there are.
    """

    def __init__(self, config: SqlViewConfig, password: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._password = password
        self._monotonic = monotonic
        self._spool: Spool | None = None
        self._left: Iterator[Reading] | None = None

    def read(self, before: Before) -> Reading:
        """The rows that are new or changed, a batch at a time; the last batch lists all that stand. See `Source`."""
        if self._left is None:
            self._left = self._begin(before)
        reading = next(self._left)
        if not reading.more:
            self._left = None
        return reading

    def close(self) -> None:
        """Deletes what was not taken."""
        if self._spool is not None:
            self._spool.close()

    def _begin(self, before: Before) -> Iterator[Reading]:
        database = open_database(self._config, self._password)
        try:
            remarks = self._remarks_on_rights(database)
            names = database.columns()
            self._spool = Spool()
            visit = _Pass(self._config, database, names, before, self._spool, self._deadline())
            visit.run()
        finally:
            database.close()
        last = Reading((), Listing.COMPLETE, frozenset(visit.listed), remarks=(*remarks, *visit.remarks.take()))
        return readings(self._spool, last)

    def _remarks_on_rights(self, database: ViewDatabase) -> tuple[Remark, ...]:
        writable = database.writable()
        if not writable:
            return ()
        said = f"the user {self._config.user} may write to {', '.join(writable)}"
        if self._config.writable == "warn":
            return (Remark(self._config.place, f"{said}; a reader should only be granted select on the view"),)
        mend = "Make a user that is granted select on the view and nothing else, or set `writable: warn`"
        raise ReadFailed(self._config.place, said, mend)

    def _deadline(self) -> Callable[[], None]:
        end = self._monotonic() + self._config.longest

        def check() -> None:
            if self._monotonic() > end:
                mend = "Give `changed` a column, give the view fewer rows, or raise `longest`"
                raise ReadFailed(self._config.place, f"reading takes longer than {self._config.longest:g} s", mend)

        return check


class _Pass:
    """One look at a view: which rows stand there, and what is new in them."""

    def __init__(
        self,
        config: SqlViewConfig,
        database: ViewDatabase,
        names: Sequence[str],
        before: Before,
        spool: Spool,
        check_time: Callable[[], None],
    ) -> None:
        self._config = config
        self._database = database
        self._before = before
        self._spool = spool
        self._check_time = check_time
        self._names = names
        self._reader = RowReader(config, names, config.place)
        self.listed: set[str] = set()
        self.remarks = Remarks()

    def run(self) -> None:
        """Looks at every row. Raises ReadFailed."""
        if self._config.changed:
            self._read_changed()
        else:
            self._read_all()

    def _read_all(self) -> None:
        places = self._reader.needed
        for number, values in enumerate(self._select(places), 1):
            if item_id := self._listed_id(values, number):
                self._take(values, item_id, mark_of(values))

    def _read_changed(self) -> None:
        """First keys and versions, then the rows whose version is another one."""
        version = self._reader.column(self._config.changed, self._config.place)
        changed: list[tuple[list[Any], str]] = []
        for number, values in enumerate(self._select((*self._reader.keys, version)), 1):
            item_id = self._listed_id(values, number)
            if item_id and self._changed(item_id, str(values[version])):
                changed.append(([values[place] for place in self._reader.keys], str(values[version])))
        places = tuple(sorted({*self._reader.needed, version}))
        keys = [self._names[place] for place in self._reader.keys]
        left = iter(changed)
        while some := list(islice(left, ASKED_AT_ONCE)):
            for values in self._select(places, keys, [key for key, _ in some]):
                if item_id := self._reader.id(values):
                    self._take(values, item_id, str(values[version]))

    def _listed_id(self, values: Sequence[Any], number: int) -> str:
        self._check_time()
        item_id = self._reader.id(values)
        if not item_id:
            self.remarks.add(without_id(f"{self._config.place} row {number}"))
        elif item_id in self.listed:
            self.remarks.add(Remark(f"{self._config.place} row {number}", "its key is there twice; the first counts"))
            return ""
        elif len(self.listed) >= self._config.max_items:
            mend = "Give the view fewer rows, or raise max_items"
            raise ReadFailed(self._config.place, f"there are more than {self._config.max_items} rows", mend)
        else:
            self.listed.add(item_id)
        return item_id

    def _changed(self, item_id: str, mark: str) -> bool:
        known = self._before.known.get(item_id)
        if known is not None and f"{item_id}#resolved" in self._before.known:
            self.listed.add(f"{item_id}#resolved")
        return known is None or known.mark != mark

    def _take(self, values: Sequence[Any], item_id: str, mark: str) -> None:
        if self._changed(item_id, mark):
            for item in self._reader.items(values, item_id, mark):
                self._spool.add(item)

    def _select(
        self, places: Sequence[int], keys: Sequence[str] = (), wanted: Sequence[Sequence[Any]] = ()
    ) -> Iterator[Sequence[Any]]:
        """Rows as wide as the view, with nothing in the columns that were not asked for."""
        row: list[Any] = [None] * len(self._names)
        for values in self._database.rows([self._names[place] for place in places], keys, wanted):
            for place, value in zip(places, values, strict=True):
                row[place] = value
            yield list(row)


def open_view(config: SqlViewConfig, surroundings: Surroundings) -> SqlView:
    """A view that is not connected to yet."""
    return SqlView(config, surroundings.secret(config.password))


SQL_VIEW = Kind("sql", SqlViewConfig, open_view, {})
