"""Looks at the ledger from outside, as a reader would: when each verdict can be seen, and what it says."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

CHANNEL = "ledger"
WAIT_SECONDS = 0.25

NEW = """
    select j.agency, j.lane_offset, e.event_id::text, e.portal, j.status, j.final, j.rule, j.position
    from ledger.judgement j join ledger.event e using (agency, lane_offset)
    where j.position > %s order by j.position
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """One judgement, and when this process could read it (nanoseconds since 1970)."""

    agency: str
    lane_offset: int
    event_id: str | None
    portal: str | None
    status: str
    final: bool
    rule: str
    position: int
    seen_ns: int


class LedgerWatch:
    """Follows the ledger in a thread: asleep until the database says that something was committed.

    A judgement counts as visible when this connection, which is no part of the worker, has read its row.
    """

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._first: dict[tuple[str, int], Seen] = {}
        self._latest: dict[tuple[str, int], Seen] = {}
        self._offsets: dict[tuple[str, str], int] = {}
        self._thread = threading.Thread(target=self._follow, name="demo-ledger-watch", daemon=True)
        self._failure: Exception | None = None
        with self._connect() as connection:
            row = connection.execute("select next - 1 from ledger.position").fetchone()
        self.start_position: int = row[0] if row else 0

    def start(self) -> None:
        """Begin to follow from where the ledger stands now."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        self._thread.join(timeout=10)

    def first(self, agency: str, offset: int) -> Seen | None:
        """The first judgement on a record."""
        with self._changed:
            return self._first.get((agency, offset))

    def seen_first(self) -> dict[tuple[str, int], Seen]:
        """The first judgement on every record so far, by agency and lane offset."""
        with self._changed:
            return dict(self._first)

    def offset_of(self, agency: str, event_id: str, patience_s: float) -> int | None:
        """The lane offset at which an event was first judged; None when that did not happen in time."""
        with self._changed:
            self._changed.wait_for(lambda: (agency, event_id) in self._offsets or self._failure, patience_s)
            return self._offsets.get((agency, event_id))

    def standing(self) -> Counter[tuple[str, str]]:
        """How many records stand at which status, by agency."""
        with self._changed:
            return Counter((seen.agency, seen.status) for seen in self._latest.values())

    def wait_for(self, records: int, patience_s: float) -> bool:
        """Wait until so many records were judged; tell whether they were. Patience begins anew with each one."""
        with self._changed:
            while len(self._first) < records:
                before = len(self._first)
                moved = self._changed.wait_for(lambda before=before: len(self._first) > before, patience_s)  # type: ignore[misc]
                if self._failure is not None:
                    raise self._failure
                if not moved:
                    return False
            return True

    def _connect(self) -> Connection[TupleRow]:
        return psycopg.connect(self._url, autocommit=True, application_name="portalbus-demo-watch", connect_timeout=5)

    def _follow(self) -> None:
        position = self.start_position
        while not self._stopping.is_set():
            try:
                with self._connect() as connection:
                    connection.execute(f"listen {CHANNEL}")
                    while not self._stopping.is_set():
                        position = self._read(connection, position)
                        for _ in connection.notifies(timeout=WAIT_SECONDS, stop_after=1):
                            pass
            except psycopg.OperationalError:
                self._stopping.wait(0.5)  # the database may be restarted under us; what was missed is read then
            except Exception as error:
                with self._changed:
                    self._failure = error
                    self._changed.notify_all()
                return

    def _read(self, connection: Connection[TupleRow], position: int) -> int:
        rows = connection.execute(NEW, (position,)).fetchall()
        now = time.time_ns()
        if rows:
            with self._changed:
                for row in rows:
                    agency, offset, event_id, portal, status, final, rule, position = row
                    self._note(Seen(agency, offset, event_id, portal, status, final, rule, position, now))
                self._changed.notify_all()
            return int(rows[-1][-1])
        return position

    def _note(self, seen: Seen) -> None:
        place = (seen.agency, seen.lane_offset)
        self._first.setdefault(place, seen)
        self._latest[place] = seen
        if seen.event_id is not None:
            self._offsets.setdefault((seen.agency, seen.event_id), seen.lane_offset)
