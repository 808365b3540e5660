"""The proof that every record has its one verdict: a few statements over whole tables, on one snapshot.

Every offset of a lane below its next offset is one row of `ledger.event` or one heartbeat. Every row agrees with the
judgement that it names; there are as many final judgements as rows that are final, so each has exactly one; and every
other row is open for a reason that is on a list: it waits, or it is parked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, LiteralString

from psycopg import Connection, IsolationLevel

NAMED_AT_MOST = 20

COUNTS: LiteralString = """
select status, rule, final, count(*) from ledger.event where %(agency)s::text is null or agency = %(agency)s
group by status, rule, final order by final desc, status, count(*) desc, rule"""
LANES: LiteralString = """
select lane.agency, lane.next_offset, lane.heartbeats, count(event.agency), min(event.lane_offset),
       max(event.lane_offset)
from ledger.lane left join ledger.event using (agency)
where %(agency)s::text is null or lane.agency = %(agency)s group by lane.agency order by lane.agency"""
DISAGREEING: LiteralString = """
select e.agency, e.lane_offset, e.status, e.rule from ledger.event e left join ledger.judgement j using (position)
where (%(agency)s::text is null or e.agency = %(agency)s)
  and (j.agency, j.lane_offset, j.status, j.rule, j.final)
      is distinct from (e.agency, e.lane_offset, e.status, e.rule, e.final)
order by 1, 2"""
FINALS: LiteralString = """
select coalesce(judged.agency, known.agency), coalesce(judged.finals, 0), coalesce(known.finals, 0)
from (select agency, count(*) finals from ledger.judgement where final group by agency) judged
full join (select agency, count(*) finals from ledger.event where final group by agency) known using (agency)
where judged.finals is distinct from known.finals
  and (%(agency)s::text is null or coalesce(judged.agency, known.agency) = %(agency)s)"""
OPEN: LiteralString = """
select e.agency, e.lane_offset, e.status, e.rule, e.received_at, w.until, p.reason
from ledger.event e left join ledger.waiting w using (agency, lane_offset)
     left join ledger.parked p on p.agency = e.agency and p.lane_offset = e.lane_offset and p.state = 'parked'
where not e.final and (%(agency)s::text is null or e.agency = %(agency)s)
order by e.agency, e.lane_offset"""
LISTED_WRONGLY: LiteralString = """
select agency, lane_offset, 'waiting' from ledger.waiting w where not exists (
    select 1 from ledger.event e
    where e.agency = w.agency and e.lane_offset = w.lane_offset and e.status = 'WAITING' and not e.final)
  and (%(agency)s::text is null or agency = %(agency)s)
union all
select agency, lane_offset, 'parked' from ledger.parked p where state = 'parked' and not exists (
    select 1 from ledger.event e
    where e.agency = p.agency and e.lane_offset = p.lane_offset and e.status = 'PARKED' and not e.final)
  and (%(agency)s::text is null or agency = %(agency)s)
order by 1, 2"""
ORDER: LiteralString = """
select next - 1, (select count(*) from ledger.judgement), (select count(*) from ledger.notice),
       greatest((select max(position) from ledger.judgement), (select max(position) from ledger.notice),
                (select max(after) - 1 from ledger.restoration)),
       (select count(*) from ledger.judgement join ledger.notice using (position)),
       (select coalesce(sum(after - first), 0) from ledger.restoration)
from ledger.position"""


@dataclass(frozen=True, slots=True)
class VerdictCount:
    """How many records have this verdict as their last."""

    status: str
    rule: str
    final: bool
    records: int


@dataclass(frozen=True, slots=True)
class OpenRecord:
    """A record without a final verdict: until when it waits at most (None for a parked one: until it is decided)."""

    agency: str
    lane_offset: int
    status: str
    rule: str
    received_at: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Proof:
    """What the ledger holds, and everything that is not as it has to be; `holds` when there is nothing of that."""

    records: int
    heartbeats: int
    counts: tuple[VerdictCount, ...]
    open: tuple[OpenRecord, ...]
    problems: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """True when every record has exactly one final verdict, or is listed as open."""
        return not self.problems


def prove_verdicts(connection: Connection[Any], agency: str | None = None) -> Proof:
    """Counts and proves on one snapshot, for all lanes or one; the connection is idle, and only read from."""
    asked = {"agency": agency}
    connection.isolation_level, connection.read_only = IsolationLevel.REPEATABLE_READ, True
    with connection.transaction():
        connection.execute("set local jit = off")
        counts = tuple(VerdictCount(*row) for row in connection.execute(COUNTS, asked))
        lanes = connection.execute(LANES, asked).fetchall()
        rows = connection.execute(OPEN, asked).fetchall()
        problems = [*_lane_problems(lanes, agency), *_verdict_problems(connection, asked), *_open_problems(rows)]
        if agency is None:
            problems += _order_problems(connection)
    open_records = tuple(OpenRecord(*row[:6]) for row in rows)
    heartbeats = sum(row[2] for row in lanes)
    return Proof(sum(count.records for count in counts), heartbeats, counts, open_records, tuple(problems))


def _lane_problems(lanes: list[Any], agency: str | None) -> Iterator[str]:
    if agency is not None and not lanes:
        yield f"there is no lane of {agency}"
    for name, next_offset, heartbeats, events, first, last in lanes:
        if events + heartbeats != next_offset:
            yield f"lane.{name}: {events} events and {heartbeats} heartbeats do not make {next_offset} records"
        if events and (first < 0 or last >= next_offset):
            yield f"lane.{name}: events from {first} to {last}, but the lane is at {next_offset}"


def _verdict_problems(connection: Connection[Any], asked: dict[str, str | None]) -> Iterator[str]:
    wrong = connection.execute(DISAGREEING, asked).fetchall()
    yield from _named(f"lane.{name}@{offset}: its last judgement is not {rule}" for name, offset, _, rule in wrong)
    for name, judged, known in connection.execute(FINALS, asked):
        yield f"lane.{name}: {judged} final judgements on {known} records with a final verdict"
    wrong = connection.execute(LISTED_WRONGLY, asked).fetchall()
    yield from _named(f"lane.{name}@{offset}: listed as {state}, but it is not" for name, offset, state in wrong)


def _open_problems(rows: list[Any]) -> Iterator[str]:
    def found() -> Iterator[str]:
        for name, offset, status, rule, _, until, reason in rows:
            if (status == "WAITING" and until is None) or (status == "PARKED" and reason is None):
                yield f"lane.{name}@{offset}: {status} by {rule}, but not on the list of those"
            elif status not in ("WAITING", "PARKED"):
                yield f"lane.{name}@{offset}: {status} is no verdict that may stay open"

    yield from _named(found())


def _order_problems(connection: Connection[Any]) -> Iterator[str]:
    row = connection.execute(ORDER).fetchone()
    if row is None:
        yield "ledger.position has no row"
        return
    last, judgements, notices, highest, shared, given_up = row  # given up when a backup was put back
    if judgements + notices + given_up != last or (highest or 0) != last or shared:
        yield (
            f"the order has a hole: {judgements} judgements and {notices} notices, of which {shared} share a position,"
            f" up to {highest}, while the ledger is at {last}"
        )


def _named(problems: Iterable[str]) -> Iterator[str]:
    """The first of them one by one, and how many more there are."""
    rest = iter(problems)
    yield from islice(rest, NAMED_AT_MOST)
    if more := sum(1 for _ in rest):
        yield f"… and {more} more of the kind"
