"""Whom the server ends to resolve a deadlock with a migration goes on with what it was at, as if nothing had been."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import DeadlockDetected
from psycopg.sql import SQL, Identifier

from bus_events import answer, envelope, receipt, value_of
from ledger_facts import one
from portalbus.infra.stack import Endpoints
from portalbus.schemas.models import Event
from whole_bus import Bus, Running

ATTEMPTS = 20
WAITS = """
select count(*) from pg_stat_activity where application_name = %s and datname = %s and wait_event_type = 'Lock'"""
TAKE = SQL("lock table {} in access exclusive mode")


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, ["H26"]).open()
    yield bus
    bus.close()


def test_who_loses_a_deadlock_with_a_migration_goes_on(bus: Bus) -> None:
    worker, relay, casework = bus.start_worker(), bus.start_relay(), bus.start_casework()
    for process, started in ((worker, "worker.started"), (relay, "relay.started"), (casework, "casework.started")):
        bus.wait_until(lambda: process.said(started), started)
    bus.publish("H26", [(None, value_of(Event(envelope(1, "H26", 1), receipt()), bus.schema_ids))])
    bus.wait_until(lambda: one(bus.look, "select count(*) from casework.deadline where met_at is null"), "a deadline")
    lose_a_deadlock(bus, casework, "portalbus-casework", ("casework", "ahead"), ("casework", "place"))
    lose_a_deadlock(bus, relay, "portalbus-relay", ("ledger", "event"), ("ledger", "judgement"))
    bus.publish("H26", [(None, value_of(Event(envelope(2, "H26", 2), answer()), bus.schema_ids))])
    met = "select count(*) from casework.deadline where met_at is not null"
    bus.wait_until(lambda: one(bus.look, met), "the answer meets the deadline")
    sent = "select (select max(position) from ledger.relayed) = next - 1 from ledger.position"
    bus.wait_until(lambda: one(bus.look, sent), "its verdict is sent")
    for process in (worker, relay, casework):
        assert process.stop() == 0, process.text()


def lose_a_deadlock(bus: Bus, process: Running, name: str, wanted: tuple[str, str], held: tuple[str, str]) -> None:
    """Takes the table that it wants next, and then, when it waits for that, the one that it has: its wait is older, so
    its session is the first to find the deadlock, and ends its own statement. A slow machine may need another go."""
    for _ in range(ATTEMPTS):
        with psycopg.connect(bus.database_url, options="-c lock_timeout=20s") as migration:
            migration.execute(TAKE.format(Identifier(*wanted)))
            bus.wait_until(lambda: one(bus.look, WAITS, name, bus.look.info.dbname), f"{name} waits")
            try:
                migration.execute(TAKE.format(Identifier(*held)))
            except DeadlockDetected:
                continue
            finally:
                migration.rollback()
        if "40P01" in {line["sqlstate"] for line in process.said("database.away")}:
            return
    raise AssertionError(f"{name} lost no deadlock:\n{process.text()}")
