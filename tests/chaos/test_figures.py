"""The figures that grow with the country: search, sources, rows. `make bench` prints them; here they are held.

The short forms are for what a wrong plan or a scan does to them, many times over; the marks themselves are asked of the
full forms, on a machine that has nothing else to do.
"""

from __future__ import annotations

import secrets
import time
from contextlib import closing
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

import capacity_bench
import search_bench
from bus_events import Lane, receipt, writers
from capacity_bench import BOUND_MS, Found, fill_ledger, measure_sources
from ledger_facts import one
from memory_ledger import directory
from portalbus.infra.stack import Endpoints
from portalbus.streams.ledger.database import migrate
from portalbus.streams.ledger.ledger import Ledger
from scratch_databases import create_database, drop_database
from search_bench import MARK_MS

COUNTRY = 5_600
"""Sources of the whole country."""
PAGES: LiteralString = """
select sum(hits + reads)::bigint from pg_stat_io where backend_type = 'client backend' and object = 'relation'"""
"""Pages that clients have looked at: neither the server's own vacuum nor its writers count."""
SESSIONS: LiteralString = "select count(*) from pg_stat_activity where datname = %s and backend_type = 'client backend'"


def test_a_search_among_twenty_thousand_documents_takes_a_processor_no_longer_than_among_a_million(
    tmp_path: Path,
) -> None:
    found = search_bench.run(tmp_path, 20_000, 2_000, 64)
    print(f"\np95 {found.quantile(0.95):.1f} ms, a processor at work {found.quantile(0.95, worked=True):.1f} ms")
    assert found.quantile(0.95, worked=True) < MARK_MS, found.slowest


def test_with_the_sources_of_the_country_no_event_is_late_with_one_worker(endpoints: Endpoints, tmp_path: Path) -> None:
    found = Found()
    measure_sources(endpoints, tmp_path, [COUNTRY], 0, found, seconds=8)
    assert found.sources[COUNTRY]["steady, events/s"] == COUNTRY / 20
    assert found.sources[COUNTRY]["p50, ms"] < BOUND_MS
    assert found.sources[COUNTRY]["latest, ms"] < 5 * BOUND_MS


def test_an_event_costs_as_many_pages_of_the_database_in_a_large_ledger_as_in_a_small_one(postgres_url: str) -> None:
    """Pages that are looked at, because these are the same on a busy machine; a scan looks at hundreds for an event."""
    few, many = (pages_of_an_event(postgres_url, rows) for rows in (2_000, 60_000))
    print(f"\n{few:.1f} pages an event, {many:.1f} with thirty times as many rows")
    assert few > 1
    assert many < few * 1.5, "trees of indexes may have one more level"


def pages_of_an_event(server: str, rows: int) -> float:
    """How many pages the judging of an event looks at, on average, in a ledger with so many events."""
    name = f"figures_{secrets.token_hex(4)}"
    url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    lane = Lane("H26")
    with psycopg.connect(server, autocommit=True) as connection:
        create_database(connection, name)
        try:
            migrate(url)
            fill_ledger(url, rows)
            wait_until_told(connection, name)
            before = one(connection, PAGES)
            with closing(Ledger(url, writers(), directory())) as ledger:
                ledger.open_lanes(["H26"])
                for batch in range(20):
                    ledger.take_in([lane.say(receipt(f"H26-{batch:04}-{n}", batch * 50 + n)) for n in range(50)])
            wait_until_told(connection, name)
            return float(one(connection, PAGES) - before) / 1_000
        finally:
            drop_database(connection, name)


def wait_until_told(connection: psycopg.Connection, database: str) -> None:
    """Until the database's sessions are over: a session tells what it looked at before it leaves the list."""
    deadline = time.monotonic() + 30
    while one(connection, SESSIONS, database):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.chaos
@pytest.mark.timeout(3_600)
def test_a_million_documents_are_searched_within_the_mark(tmp_path: Path) -> None:
    found = search_bench.run(tmp_path, 1_000_000, 100_000, 200)
    print(f"\np95 {found.quantile(0.95):.1f} ms, a processor at work {found.quantile(0.95, worked=True):.1f} ms")
    assert found.quantile(0.95) < MARK_MS, found.slowest


@pytest.mark.chaos
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("part", ["rows", "sources"])
def test_ten_million_rows_and_the_whole_country_keep_to_the_marks(part: str, tmp_path: Path) -> None:
    found = capacity_bench.run(tmp_path, capacity_bench.parse(["--only", part]))
    assert found.misses() == []
    assert found.rows or found.sources, "something was measured"
