"""A ledger in which every table has rows: two agencies judged for real, and what operators and watches leave behind."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from random import Random
from typing import Any, LiteralString

import psycopg

from bus_events import NOON, Lane, answer, manifest, manifest_value, progress, receipt, writers
from histories import past
from ledger_facts import one
from memory_ledger import directory
from portalbus.schemas.models import Canary, CaseStep, Payload
from portalbus.streams.decoding.contents import content_of
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Item
from portalbus.streams.ledger.decider import Decider
from portalbus.streams.ledger.gap_desk import close_gap, list_gaps
from portalbus.streams.ledger.ledger import Ledger
from portalbus.streams.ledger.source_desk import SourceStatus, set_source
from portalbus.streams.parking.asking import Filters, parked_places
from portalbus.streams.parking.deciding import Parking
from remembered_lanes import RememberedLanes

WHO, WHY = "han@example.gov.vn", "mended"
BOUNDS = Bounds(wait=timedelta(days=30), gap_hold=timedelta(days=30))
LEFT_BEHIND: tuple[LiteralString, ...] = (
    "insert into ledger.relayed values (1, 'central.directive-published', 0, 0)",
    "insert into ledger.review (lasts) values ('1 day')",
    "insert into ledger.restoration (first, after) values (1, 5)",
    "insert into ledger.sent_before values ('verdict.H26', '1 ACCEPTED event.accepted')",
    "insert into ledger.case_decision (case_id, event_id, from_agency, to_agency, decided_by, why)"
    " values ('H26-0001', gen_random_uuid(), 'H26', 'H29', 'han', 'it is theirs')",
    "insert into ledger.parking_stop (stopped_at, parked, judged, lanes, behind) values (now(), 1, 2, 3, '{}')",
    "insert into ledger.parking_allowance (until, allowed_by, allowed_why, allowed_at)"
    " values (now(), 'han', 'known', now())",
    "insert into ledger.manifest_bucket values"
    " ('H26', 'www', 1, 'DirectivePublished', '2026-11-20', 3, '\\x01', 3, now(), null)",
    "insert into ledger.inquiry values ('H26', 'www', 1, 'DirectivePublished', '2026-11-20', 1, now(), now())",
    "insert into ledger.bucket_contents values"
    " ('H26', 'www', 1, 'DirectivePublished', '2026-11-20', 1, 3, '[]', now())",
    "insert into ledger.repair (kind, place, agency, found_at) values ('missing', 'event', 'H26', now())",
    "insert into ledger.quarantine (place, agency, content, quarantined_at) values ('case', 'H26', '{}', now())",
    "insert into ledger.reconciliation values (now(), now(), true, 1, 1, 0, 0)",
    "insert into ledger.hearing values ('H26', now(), now())",
    "insert into ledger.cadence (agency, portal, event_type, memory, last_heard_at, state_since)"
    " values ('H26', 'www', '', '[]', now(), now())",
    "insert into ledger.alert (id, kind, since, raised_at, params, message, closed_at, closed_by, closed_why)"
    " values (gen_random_uuid(), 'source-silent', now(), now(), '{}', '{}', now(), 'han', 'switched off')",
    "insert into ledger.alert (id, kind, since, raised_at, params, message, topic)"
    " select gen_random_uuid(), 'surge', now(), now(), '{}', '{}', topic from unnest(array['roads', 'water']) topic",
    "insert into console.account (name, password, agency) values ('han', 'x', 'H26')",
    "insert into console.session (token_hash, account) values ('\\x01', 'han')",
    "insert into console.action (account, agency, what, about, why)"
    " select 'han', 'H26', what, '{}', 'x' from unnest(array['ask', 'block']) what",
    "insert into casework.law (after, calendar, regimes, days, terms, at) values (0, '1', '1', '', '', now())",
)


def live(url: str, seed: int = 7) -> RememberedLanes:
    """Fills a migrated, empty ledger; returns its lanes, from which it can be rebuilt."""
    random, history = Random(seed), past(Random(seed), 120)
    lanes = history.lanes
    said: list[tuple[str, Payload]] = [
        *(("H26", receipt(case, int(case[-4:]))) for case in ("H26-9001", "H26-9002", "H26-9003")),
        ("H26", progress(CaseStep.CLASSIFIED, "H26-9001")),
        ("H26", progress(CaseStep.TRANSFERRED, "H26-9001", to_agency="H29")),
        ("H26", answer("H26-9002")),
        ("G22", progress(CaseStep.PUBLISHED, "H26-9002")),
        ("H26", progress(CaseStep.WITHDRAWN, "H26-9003")),
        ("H26", Canary(interval_s=300)),
    ]
    for agency, payload in said:
        lanes[agency].say(payload, portal="desk")
    _leave_out_the_next(lanes["H29"])
    stated = manifest("H26", delivered_sequence=30)
    lanes["H26"].put(stated, value=manifest_value(stated))
    items = [Item(item.record, content_of(item.record.value, writers())) for item in history.interleaved(random)]
    with closing(Ledger(url, writers(), directory(), bounds=BOUNDS, clock=lambda: NOON)) as ledger:
        ledger.open_lanes(lanes)
        _take_in(ledger, items, random)
    _decide(url)
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in LEFT_BEHIND:
            connection.execute(statement)
    return RememberedLanes(items)


def _leave_out_the_next(lane: Lane) -> None:
    """A source whose first event never comes: the others are held behind it."""
    for sequence in (2, 3):
        lane.say(receipt(f"{lane.agency}-800{sequence}", 800 + sequence), portal="ftp", sequence=sequence)


def _take_in(ledger: Ledger, items: list[Item], random: Random) -> None:
    while items:
        cut = random.randint(1, 9)
        ledger.take_in(items[:cut])
        items = items[cut:]


def _decide(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        parking = Parking(connection, writers(), directory(), BOUNDS, clock=lambda: NOON)
        list(parking.discard(list(parked_places(connection, Filters()))[:2], Decider(WHO, WHY)))
        gap = next(gap for gap in list_gaps(connection) if gap.portal != "ftp")
        close_gap(connection, gap.agency, gap.portal, gap.first, gap.last, who=WHO, why=WHY, epoch=gap.epoch)
        assert set_source(connection, "H26", "edu", SourceStatus.BLOCKED, who=WHO, why=WHY)


def tables(connection: psycopg.Connection[Any]) -> list[str]:
    """Every table of the bus, with its schema."""
    found = connection.execute(
        "select format('%I.%I', schemaname, tablename) from pg_tables"
        " where schemaname in ('ledger', 'console', 'casework') order by 1"
    )
    return [name for (name,) in found]


def contents(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """All rows of every table of the bus, in an order that does not depend on where they lie."""
    return {
        name: one(
            connection,
            f"select coalesce(jsonb_agg(row order by row::text), '[]')::text"
            f" from (select to_jsonb(t) as row from {name} t) rows",
        )
        for name in tables(connection)
    }
