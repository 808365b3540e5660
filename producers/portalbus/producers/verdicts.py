"""Verdicts that come back: kept in the outbox, compared with it, handed to whoever asks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from portalbus.producers import logs
from portalbus.producers.database import Database
from portalbus.producers.source_row import read_source
from portalbus.producers.stored_event import id_bytes
from portalbus.schemas.models import Verdict

BATCH = 500
SEQUENCE_REUSED = "source.sequence-reused"


class VerdictKeeper:
    """Keeps the verdicts on one portal's events.

    `on_verdict` is called for each, in order, and again when the process died or the callback raised before it
    returned. A verdict on a sequence that this outbox never gave means that the outbox is an old copy.
    """

    def __init__(self, topic: str, on_verdict: Callable[[Verdict], None] | None) -> None:
        self._topic = topic
        self._on_verdict = on_verdict
        self.damage: str | None = None

    def keep(self, connection: sqlite3.Connection, found: Sequence[tuple[int, Verdict]], place: int) -> None:
        """Stores verdicts with their offsets, and that everything before `place` was read."""
        connection.executemany(
            "insert or replace into verdict values (?, ?, ?, ?, ?)",
            [
                (
                    offset,
                    id_bytes(verdict.event_id) if verdict.event_id else None,
                    verdict.sequence,
                    verdict.model_dump_json(),
                    int(verdict.judged_at.timestamp() * 1000),
                )
                for offset, verdict in found
            ],
        )
        connection.execute("update verdict_place set next_offset = ?", (place,))
        self._compare(connection, [verdict for _, verdict in found])

    def call_back(self, database: Database) -> None:
        """Calls the portal's own function with what it has not returned from yet."""
        if self._on_verdict is None:
            return
        with database.reading() as connection:
            waiting = connection.execute(
                "select offset, value from verdict where offset >= (select called_offset from verdict_place)"
                " order by offset limit ?",
                (BATCH,),
            ).fetchall()
        for offset, value in waiting:
            try:
                self._on_verdict(Verdict.model_validate_json(value))
            except Exception as error:  # the portal's own code: whatever it raises must not stop the reading
                logs.warning(logs.CALLBACK_FAILED, topic=self._topic, offset=offset, kind=type(error).__name__)
                return
            with database.transaction() as connection:
                connection.execute("update verdict_place set called_offset = ?", (offset + 1,))

    def _compare(self, connection: sqlite3.Connection, verdicts: Sequence[Verdict]) -> None:
        row = read_source(connection)
        for verdict in verdicts:
            heard = (verdict.epoch or 0, verdict.sequence or 0)
            if row is None or heard[0] < row.epoch:
                continue  # of a time before a repair
            if heard > (row.epoch, row.last_sequence) or verdict.rule == SEQUENCE_REUSED:
                self.damage = (
                    f"the centre knows event {heard[1]} of epoch {heard[0]}, which this outbox did not give (it is at "
                    f"{row.last_sequence} of {row.epoch}): it is an old copy. Put the newest one back, or run "
                    "`portalbus outbox repair`"
                )
