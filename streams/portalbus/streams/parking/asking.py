"""Looking at parked records: what is parked and why, what was decided, and one record with all that is known of it."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from portalbus.streams.records import LaneRecord

WANTED = """
from ledger.parked p join ledger.event e using (agency, lane_offset)
where (%(agency)s::text is null or p.agency = %(agency)s) and (%(reason)s::text is null or p.reason = %(reason)s)
  and (%(key)s::text is null or p.key = %(key)s or convert_from(p.record_key, 'SQL_ASCII') = %(key)s)
  and (%(since)s::timestamptz is null or e.received_at >= %(since)s)
  and (%(state)s::text is null or p.state = %(state)s)"""
GROUPS = f"""
select p.reason, p.state, count(*) as records, min(e.received_at) as first_at, max(e.received_at) as last_at,
       array_agg(distinct p.agency order by p.agency) as agencies,
       (select count(*) from ledger.waiting w where w.rule = 'key.parked-before' and exists (
            select 1 from ledger.parked q where q.reason = p.reason and q.state = p.state and q.state = 'parked'
            and q.agency = w.agency and q.key = w.key and q.lane_offset < w.lane_offset)) as held_behind
{WANTED} group by p.reason, p.state order by records desc, p.reason, p.state"""
PLACES = f"select p.agency, p.lane_offset {WANTED} order by p.agency, p.lane_offset limit %(limit)s"
LINES = f"""
select p.agency, p.lane_offset, p.reason, p.detail, p.state, p.key, e.portal, e.event_id::text, e.received_at,
       octet_length(p.value) as bytes, p.holds_until, p.decided_by, p.decided_why, p.decided_at
{WANTED} order by p.agency, p.lane_offset limit %(limit)s"""
ONE = """
select p.agency, p.lane_offset, p.reason, p.detail, p.state, p.key, p.holds_until, p.portal, p.epoch, p.sequence,
       p.record_key, p.headers, p.value, p.parked_at, e.received_at, e.status, e.rule, e.final
from ledger.parked p join ledger.event e using (agency, lane_offset) where agency = %s and lane_offset = %s"""
DECISIONS = """
select action, outcome, position, decided_by, decided_why, decided_at
from ledger.parking_decision where agency = %s and lane_offset = %s order by id"""
BEHIND = """
select w.lane_offset, w.until from ledger.waiting w
where w.agency = %s and w.key = %s and w.lane_offset > %s and w.rule = 'key.parked-before' order by w.lane_offset"""

MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Filters:
    """Which parked records are meant; None leaves a question open. `state` is parked, redriven or discarded."""

    agency: str | None = None
    reason: str | None = None
    key: str | None = None
    since: datetime | None = None
    state: str | None = "parked"

    def asked(self, limit: int = MOST) -> dict[str, Any]:
        """As the parameters of a statement."""
        return {
            "agency": self.agency,
            "reason": self.reason,
            "key": self.key,
            "since": self.since,
            "state": self.state,
            "limit": limit,
        }


@dataclass(frozen=True, slots=True)
class ParkedGroup:
    """All records parked for one reason: how many, when (lane time), whose, and how many wait behind them."""

    reason: str
    state: str
    records: int
    first_at: datetime
    last_at: datetime
    agencies: list[str]
    held_behind: int


@dataclass(frozen=True, slots=True)
class ParkedLine:
    """One parked record in short; `bytes` is the length of its value, None when it has none."""

    agency: str
    lane_offset: int
    reason: str
    detail: str
    state: str
    key: str | None
    portal: str | None
    event_id: str | None
    received_at: datetime
    bytes: int | None
    holds_until: datetime | None
    decided_by: str | None
    decided_why: str | None
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class ParkingDecision:
    """What somebody decided about a parked record; `position` is that of the judgement, None when it stays parked."""

    action: str
    outcome: str
    position: int | None
    decided_by: str
    decided_why: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """One parked record with its bytes, as it lies in the ledger."""

    agency: str
    lane_offset: int
    reason: str
    detail: str
    state: str
    key: str | None
    holds_until: datetime | None
    portal: str | None
    epoch: int | None
    sequence: int | None
    record_key: bytes | None
    headers: list[list[str]]
    value: bytes | None
    parked_at: datetime
    received_at: datetime
    status: str
    rule: str
    final: bool

    def record(self) -> LaneRecord:
        """The record as it lay in its lane."""
        headers = tuple((name, b64decode(value)) for name, value in self.headers)
        timestamp_ms = round(self.received_at.timestamp() * 1000)
        lane = f"lane.{self.agency}"
        return LaneRecord(lane, self.agency, self.lane_offset, timestamp_ms, self.record_key, self.value, headers)


def parked_groups(connection: Connection[Any], filters: Filters) -> list[ParkedGroup]:
    """What is parked, by reason, the most frequent first."""
    with connection.cursor(row_factory=class_row(ParkedGroup)) as cursor:
        return cursor.execute(GROUPS, filters.asked()).fetchall()


def parked_lines(connection: Connection[Any], filters: Filters, limit: int) -> list[ParkedLine]:
    """Parked records one by one, in the order of their lanes, `limit` at most."""
    with connection.cursor(row_factory=class_row(ParkedLine)) as cursor:
        return cursor.execute(LINES, filters.asked(limit)).fetchall()


def parked_places(connection: Connection[Any], filters: Filters, limit: int = MOST) -> list[tuple[str, int]]:
    """Agency and lane offset of the parked records, in the order of their lanes."""
    return [(agency, offset) for agency, offset in connection.execute(PLACES, filters.asked(limit))]


def kept_record(connection: Connection[Any], agency: str, lane_offset: int) -> KeptRecord | None:
    """One record that is or was parked."""
    with connection.cursor(row_factory=class_row(KeptRecord)) as cursor:
        return cursor.execute(ONE, (agency, lane_offset)).fetchone()


def parking_decisions(connection: Connection[Any], agency: str, lane_offset: int) -> list[ParkingDecision]:
    """Everything that was decided about a record, the earliest first."""
    with connection.cursor(row_factory=class_row(ParkingDecision)) as cursor:
        return cursor.execute(DECISIONS, (agency, lane_offset)).fetchall()


def held_behind(connection: Connection[Any], kept: KeptRecord) -> list[tuple[int, datetime]]:
    """Lane offsets of the events that wait behind a parked record, with how long they do at most."""
    if kept.key is None or kept.state != "parked":
        return []
    return list(connection.execute(BEHIND, (kept.agency, kept.key, kept.lane_offset)).fetchall())
