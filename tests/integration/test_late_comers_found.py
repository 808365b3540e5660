"""What the tables of a ledger tell of events that came late; the counting itself is in `unit/test_late_comers.py`."""

from __future__ import annotations

from datetime import timedelta

import psycopg

from bus_events import Lane, directive, writers
from late_comers import of_ledger
from ledger_rows import LedgerRows
from memory_ledger import directory
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.ledger.ledger import Ledger

HOLD = Bounds().gap_hold


def test_what_came_late_in_time_and_after_its_time_is_found_in_the_tables(ledger: LedgerRows) -> None:
    lane, worker = Lane("H26"), Ledger(ledger.database_url, writers(), directory())
    worker.open_lanes(["H26"])
    in_time = [lane.say(directive(f"d-{number}"), sequence=number) for number in (1, 3, 2)]
    too_late = [lane.say(directive(f"d-{number}"), sequence=number, after=HOLD) for number in (5, 6, 7, 4)]
    for item in (*in_time, *too_late):
        worker.take_in([item])
    worker.close()
    with psycopg.connect(ledger.database_url) as connection:
        found = of_ledger(connection, HOLD)
        strict = of_ledger(connection, HOLD + timedelta(days=1))
    assert (found.asked, found.came, found.took_effect, found.without_excuse) == (2, 2, 1, [])
    assert len(strict.without_excuse) == 1
