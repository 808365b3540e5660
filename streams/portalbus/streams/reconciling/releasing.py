"""What waited for a directive or case that was damaged is judged again, now that it is whole."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, LiteralString

from psycopg import Connection

from portalbus.schemas.codec import Decoded, WriterSchemas, read
from portalbus.schemas.directory import AgencyDirectory, directory
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Docket
from portalbus.streams.ledger.fetching import fetch_history
from portalbus.streams.ledger.order import advance_position, take_turn
from portalbus.streams.ledger.steps import bounds_in_use, release_told, write_step
from portalbus.streams.ledger.writing import writing

WAITED_FOR: LiteralString = "select distinct key from ledger.waiting where key = any(%s) order by key"


def release_waiting(
    connection: Connection[Any],
    keys: Iterable[str],
    writers: WriterSchemas,
    *,
    at: datetime | None = None,
    bounds: Bounds | None = None,
    agencies: AgencyDirectory | None = None,
) -> None:
    """Judges what waits for these keys, in the open transaction; nothing happens where nothing waits.

    At the database's time, under the bounds of the workers and with the directory in force; a replay names others.
    """
    waited_for = [key for (key,) in connection.execute(WAITED_FOR, (sorted(keys),))]
    if not waited_for:
        return

    def decode(value: bytes) -> Decoded:
        found = read(value, writers)
        if not isinstance(found, Decoded):
            raise TypeError("an event in the waiting room no longer reads as an event")
        return found

    position, now = take_turn(connection)
    bounds = bounds or bounds_in_use(connection)
    docket = Docket(fetch_history(connection, (), decode, waited_for), agencies or directory(), position, bounds)
    docket.release(waited_for)
    if docket.entries:
        with writing(connection, docket, at or now):
            advance_position(connection, docket.next_position)
            write_step(connection, release_told(waited_for), position, docket.next_position, at or now, bounds)
