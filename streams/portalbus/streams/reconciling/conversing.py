"""The conversation with a source whose digest differs: what lies in this bucket? Then: send these events again."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, LiteralString

from psycopg import Connection

from portalbus.schemas.digest import EMPTY, joined
from portalbus.schemas.models import BucketEvent
from portalbus.schemas.notices import DigestRequested, ResendRequested
from portalbus.streams.judgement.notice import Notice, to_source
from portalbus.streams.reconciling.comparing import compare_contents
from portalbus.streams.reconciling.difference import Difference, Kind, Place
from portalbus.streams.reconciling.digests import BucketName
from portalbus.streams.reconciling.reading import DAY, LISTED, Scope, read_digests, read_stated
from portalbus.streams.reconciling.repairs import Repair, set_asked

REASON = "source.differs"
"""The rule of the notices that ask for events that differ."""

MAX = 2**63
ASK_AGAIN, LONGEST_PAUSE = timedelta(seconds=60), timedelta(hours=1)

# What each source can be asked for: its present epoch, and the first event that it still keeps. Behind the largest
# number that a source can say there is none, so the sum is no bigint.
KEPT: LiteralString = """
select agency, portal, epoch,
       coalesce(nullif((manifest->>'first_sequence')::numeric, 0), (manifest->>'delivered_sequence')::numeric + 1, 1)
from ledger.source where status = 'active'"""
INQUIRE: LiteralString = """
insert into ledger.inquiry (agency, portal, epoch, event_type, day, first, since, asked_at)
values (%(agency)s, %(portal)s, %(epoch)s, %(event_type)s, %(day)s, %(first)s, %(now)s, %(now)s)
on conflict (agency, portal, epoch, event_type, day) do update set first = excluded.first, asked_at = excluded.asked_at
where inquiry.first < excluded.first or inquiry.asked_at < %(before)s
returning 1"""
INQUIRIES: LiteralString = """
select e.agency, e.portal, e.epoch, e.event_type, e.day from ledger.inquiry e
where (%(agencies)s::text[] is null or e.agency = any(%(agencies)s))
  and (%(since)s::date is null or e.day >= %(since)s::date)"""
CONTENTS: LiteralString = """
select c.agency, c.portal, c.epoch, c.event_type, c.day, c.first, c.last, c.events, b.delivered_sequence
from ledger.bucket_contents c join ledger.manifest_bucket b using (agency, portal, epoch, event_type, day)"""
KNOWN: LiteralString = f"""
select e.event_id::text, e.content_hash, e.key from ledger.event e
where e.agency = %s and e.portal = %s and e.epoch = %s and e.event_type = %s and {DAY} = %s and {LISTED}
  and e.sequence between %s and %s"""
# What is missing is no difference where a gap in the source's order stands for it, or a parked record that says that it
# is this very event. One that took the place and says otherwise, or nothing, hides that the event never came.
ACCOUNTED: LiteralString = """
select w.sequence from unnest(%(sequences)s::int8[], %(ids)s::uuid[]) w(sequence, event_id)
where exists (select from ledger.gap g where g.agency = %(agency)s and g.portal = %(portal)s and g.epoch = %(epoch)s
              and w.sequence between g.first and g.last)
   or exists (select from ledger.parked p join ledger.event e using (agency, lane_offset)
              where p.agency = %(agency)s and p.portal = %(portal)s and p.epoch = %(epoch)s
                and p.sequence = w.sequence and e.event_id = w.event_id)"""
LISTED_ELSEWHERE: LiteralString = """
select event_id::text from ledger.event where agency = %s and event_id = any(%s::uuid[]) and claims_id"""
FORGET: LiteralString = (
    "delete from ledger.bucket_contents"
    " where agency = %s and portal = %s and epoch = %s and event_type = %s and day = %s"
)
CLOSE: LiteralString = (
    "delete from ledger.inquiry where agency = %s and portal = %s and epoch = %s and event_type = %s and day = %s"
)
EXPLAIN: LiteralString = (
    "update ledger.manifest_bucket set explained = %s"
    " where agency = %s and portal = %s and epoch = %s and event_type = %s and day = %s"
)


def inquire(connection: Connection[Any], buckets: Iterable[tuple[BucketName, int]], now: datetime) -> list[Notice]:
    """Asks the sources what lies in these buckets, from a sequence on; not again before a minute has passed.

    A source knows its present epoch alone.
    """
    kept = _kept(connection)
    notices = []
    for bucket, first in buckets:
        if bucket[:3] not in kept:
            continue
        asked = bucket._asdict() | {"first": first, "now": now, "before": now - ASK_AGAIN}
        if connection.execute(INQUIRE, asked).fetchone():
            request = DigestRequested(**bucket._asdict(), first=first, requested_at=now)
            notices.append(to_source(bucket.agency, bucket.portal, request))
    return notices


def close_needless(connection: Connection[Any], scope: Scope, narrowed: Container[BucketName]) -> None:
    """Forgets what was asked about buckets that differ no more."""
    asked = [BucketName(*row) for row in connection.execute(INQUIRIES, scope.parameters())]
    for bucket in asked:
        if bucket not in narrowed:
            connection.execute(CLOSE, bucket)


def open_inquiries(connection: Connection[Any], agencies: Sequence[str] | None) -> int:
    """How many buckets' contents are awaited."""
    row = connection.execute(
        "select count(*) from ledger.inquiry where %(of)s::text[] is null or agency = any(%(of)s)", {"of": agencies}
    ).fetchone()
    return int(row[0]) if row else 0


def hear_answers(connection: Connection[Any], now: datetime) -> tuple[list[Difference], list[Notice]]:
    """Compares what the sources have answered with what the ledger lists; asks on where an answer did not hold all."""
    found: list[Difference] = []
    notices: list[Notice] = []
    for row in connection.execute(CONTENTS).fetchall():
        bucket, (first, last, events, delivered) = BucketName(*row[:5]), row[5:]
        found += _compare(connection, bucket, first, last, [BucketEvent.model_validate(event) for event in events])
        connection.execute(FORGET, bucket)
        if first <= last < delivered:
            notices += inquire(connection, [(bucket, last + 1)], now)
        else:
            connection.execute(CLOSE, bucket)
            _explain(connection, bucket)
    return found, notices


def ask_again(connection: Connection[Any], repairs: Iterable[Repair], now: datetime) -> list[Notice]:
    """Asks the sources to send these events again, and none between them; the pause until the next time doubles.

    What a source says it no longer keeps is not asked for.
    """
    kept = _kept(connection)
    due = [
        repair for repair in repairs if _is_due(repair, now) and kept.get(repair[3:6], MAX) <= (repair.sequence or 0)
    ]
    due.sort(key=lambda repair: (repair.agency, repair.portal or "", repair.epoch or 0, repair.sequence or 0))
    set_asked(connection, due, now)
    notices = []
    for (agency, portal, epoch), of_source in groupby(due, key=lambda repair: repair[3:6]):
        sequences = sorted({repair.sequence for repair in of_source if repair.sequence})
        for first, last in runs(sequences):
            request = ResendRequested(
                agency=agency, portal=portal, epoch=epoch, first=first, last=last, reason=REASON, requested_at=now
            )
            notices.append(to_source(agency, portal, request))
    return notices


def _kept(connection: Connection[Any]) -> dict[tuple[Any, ...], int]:
    """By agency, portal and epoch: the first sequence that the source still keeps."""
    return {(agency, portal, epoch): first for agency, portal, epoch, first in connection.execute(KEPT)}


def runs(sequences: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending numbers as ranges without a hole."""
    found: list[tuple[int, int]] = []
    for number in sequences:
        if found and found[-1][1] + 1 == number:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def _is_due(repair: Repair, now: datetime) -> bool:
    if repair.portal is None or repair.epoch is None or repair.sequence is None:
        return False
    pause = min(ASK_AGAIN * 2 ** min(max(repair.asked - 1, 0), 16), LONGEST_PAUSE)
    return repair.asked_at is None or repair.asked_at + pause <= now


def _compare(
    connection: Connection[Any], bucket: BucketName, first: int, last: int, listed: Sequence[BucketEvent]
) -> list[Difference]:
    rows = connection.execute(KNOWN, (*bucket, first, last)).fetchall()
    keys = {event_id: key for event_id, _, key in rows}
    compared = compare_contents(listed, {event_id: content_hash for event_id, content_hash, _ in rows})
    places = {
        "sequences": [event.sequence for event in compared.missing],
        "ids": [event.id for event in compared.missing],
    }
    accounted = {sequence for (sequence,) in connection.execute(ACCOUNTED, {**bucket._asdict(), **places})}
    missing = [event for event in compared.missing if event.sequence not in accounted]
    ids = [event.id for event in missing]
    elsewhere = {event_id for (event_id,) in connection.execute(LISTED_ELSEWHERE, (bucket.agency, ids))}
    named = [(event, Kind.ALTERED if event.id in elsewhere else Kind.MISSING) for event in missing]
    named += [(event, Kind.ALTERED) for event in compared.altered]
    found = [_listed_otherwise(bucket, event, kind) for event, kind in named]
    return found + [
        Difference(
            Kind.UNKNOWN,
            Place.EVENT,
            bucket.agency,
            bucket.portal,
            bucket.epoch,
            event_id=event_id,
            key=keys[event_id],
        )
        for event_id in compared.unknown
    ]


def _listed_otherwise(bucket: BucketName, event: BucketEvent, kind: Kind) -> Difference:
    return Difference(
        kind,
        Place.EVENT,
        bucket.agency,
        bucket.portal,
        bucket.epoch,
        event.sequence,
        event.id,
        bytes.fromhex(event.content_hash),
        columns=("identity",) if kind is Kind.ALTERED else (),
    )


def _explain(connection: Connection[Any], bucket: BucketName) -> None:
    """Notes the difference that was gone through, so that the same is not asked about again."""
    scope = Scope((bucket.agency,), bucket.day)
    stated = read_stated(connection, scope).get(bucket)
    if stated is not None:
        difference = joined(stated.digest, read_digests(connection, scope).get(bucket, EMPTY))
        connection.execute(EXPLAIN, (difference, *bucket))
