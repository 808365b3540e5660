"""Follows an event, a case or a directive through the ledger, from the portal to the page: for `portalbus trace` and
for the console's page, which so show the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from urllib.parse import unquote, urldefrag, urlsplit
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

from portalbus.schemas.findings import Finding
from portalbus.schemas.models import Texts

PUBLIC_CODE = re.compile(r"^[0-9A-HJKMNP-TV-Z]{12}$")
# One look at each lane instead of one at each event: the index on ids begins with the agency.
BY_ID = "e.claims_id and (e.agency, e.event_id) in (select agency, %s::uuid from ledger.lane)"
BY_ANY_ID = "e.event_id = %s"
VERDICT = re.compile(r"^verdict-(?P<position>[0-9]{1,18})$")
"""The webhook id of a verdict."""
TRACE_ID = re.compile(r"^(?:[0-9a-f]{2}-)?(?P<trace>[0-9a-f]{32})(?:-[0-9a-f]{16}-[0-9a-f]{2})?$", re.IGNORECASE)
"""A trace id, alone or in a W3C `traceparent`: an event id without its hyphens."""
PLACE = re.compile(r"^(?:lane\.)?(?P<agency>[A-Y][0-9]{2}(?:\.[A-Z0-9]+)*)@(?P<offset>[0-9]+)$")


@dataclass(frozen=True)
class SentOn:
    """Where the relay put something; `at` is Kafka's time there, None when it was not looked up."""

    topic: str
    partition: int
    offset: int
    at: datetime | None = None


@dataclass(frozen=True)
class InFeed:
    """A feed of the central portal that carries it, from the event's lane time on. `path` is without the language, as
    Atom; the same is there as RSS. `entry` is the id of its entry."""

    path: str
    entry: str
    at: datetime


@dataclass(frozen=True)
class ToReceiver:
    """What became of one webhook. `at` is when it arrived, was let go, given up, or failed last; None before that.
    `receiver` is the receiver's host, None when its subscription was removed."""

    subscription: str
    receiver: str | None
    webhook_id: str
    state: Literal["delivered", "queued", "given_up", "dropped"]
    attempts: int
    at: datetime | None = None
    error: str | None = None


@dataclass(frozen=True)
class TracedJudgement:
    """One judgement on an event, and what carried it on; feeds and webhooks are not looked up here."""

    position: int
    status: str
    final: bool
    rule: str
    path: str | None
    message: Texts
    mend: Texts | None
    judged_at: datetime
    sent_on: tuple[SentOn, ...] = ()
    feeds: tuple[InFeed, ...] = ()
    webhooks: tuple[ToReceiver, ...] = ()


@dataclass(frozen=True)
class TracedEvent:
    """One record of a lane. Times: what the portal says, what the SDK says, what the broker says."""

    agency: str
    lane: str
    lane_offset: int
    event_id: str | None
    event_type: str | None
    portal: str | None
    epoch: int | None
    sequence: int | None
    key: str | None
    occurred_at: datetime | None
    published_at: datetime | None
    received_at: datetime
    status: str
    judgements: tuple[TracedJudgement, ...]
    parked: str | None
    waits_until: datetime | None


@dataclass(frozen=True)
class EntryOfFeed:
    """One entry of a feed, and what to ask for to trace it: an event id or the key of a directive."""

    entry: str
    traced_by: str
    title: str
    updated: datetime


@dataclass(frozen=True)
class Trace:
    """Everything the ledger knows about what was asked for. `page` is the path of its page, without the language;
    `entries` are those of a feed."""

    asked: str
    kind: str
    key: str | None
    events: tuple[TracedEvent, ...]
    rows: dict[str, Any] = field(default_factory=dict)
    page: str | None = None
    entries: tuple[EntryOfFeed, ...] = ()


ADDRESS = re.compile(
    r"/(?:[a-z]{2}/)?(?:directives/(?P<key>[^/]+/[^/]+)|feedback/(?P<code>[^/]+)|(?P<event>answers/[^/]+))/?$"
)
EVENT = """
    select e.*, e.event_id::text as id, p.reason as parked, w.until as waits_until
    from ledger.event e
    left join ledger.parked p using (agency, lane_offset)
    left join ledger.waiting w using (agency, lane_offset)
    where {} order by e.received_at, e.agency, e.lane_offset limit 500
"""
JUDGEMENT = """
    select position, status, final, rule, path, coalesce(params, '{}') as params, judged_at
    from ledger.judgement where agency = %s and lane_offset = %s order by position
"""
RELAYED = 'select topic, partition, "offset" from ledger.relayed where position = %s order by topic'
JUDGED_AT = "(e.agency, e.lane_offset) in (select agency, lane_offset from ledger.judgement where position = %s)"
BY_ADDRESS = """
select key from ledger.directive_version where document->>'canonical_url' = any(%s) order by position desc limit 1
"""
DIRECTIVE = """
    select key, version, withdrawn, published_at, changed_at, position from ledger.directive where key = %s
"""
CASE = """
    select c.case_id, c.public_code, c.receiver, c.owner, c.state, c.outcome, c.reason_code, c.position,
        (select string_agg(s.case_id, ', ' order by s.position) from ledger.case_step s
            where s.step = 'SPLIT' and s.document->'children' ? c.case_id and s.case_id <> c.case_id) as part_of,
        (select string_agg(child, ', ' order by s.position, child)
            from ledger.case_step s cross join lateral jsonb_array_elements_text(s.document->'children') child
            where s.case_id = c.case_id and s.step = 'SPLIT') as split_into,
        (select string_agg(
            format('%%s → %%s, %%s: %%s', d.from_agency, d.to_agency, d.decided_by, d.why), ' ' order by d.id)
            from ledger.case_decision d where d.case_id = c.case_id) as decided
    from ledger.case c where c.case_id = %s
"""


class Tracer:
    """Reads traces from one connection to the ledger; writes nothing."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection

    def trace(self, asked: str) -> Trace | None:
        """The trace of an event id, trace id, case id, public code, directive key or id, lane place, webhook id, or the
        address of a page, here or on the directive's own portal; None when unknown."""
        if is_address(asked) and (key := self._key_at(asked)) is not None:
            return self._of_key(asked, key)
        asked = _named_in(asked)
        place = PLACE.match(asked)
        if place:
            events = self._events("e.agency = %s and e.lane_offset = %s", place["agency"], int(place["offset"]))
            return self._of_events(asked, "record", events)
        if verdict := VERDICT.match(asked):
            return self._of_events(asked, "event", self._events(JUDGED_AT, int(verdict["position"])))
        event_id = event_id_in(asked)
        if event_id is not None:
            events = self._events(BY_ID, event_id) or self._events(BY_ANY_ID, event_id)
            if events or len(asked) == 36:
                return self._of_events(asked, "event", events)
        return self._of_key(asked, self._key(asked))

    def directive_keys(self) -> Iterator[str]:
        """The keys of all directives, in no order, as they are taken."""
        with self._connection.transaction(), self._connection.cursor("portalbus_trace_keys") as cursor:
            cursor.itersize = 10_000
            yield from (key for (key,) in cursor.execute("select key from ledger.directive"))

    def _key_at(self, address: str) -> str | None:
        """The directive with this address on its portal, the newest one; with or without a slash at the end."""
        bare = urldefrag(address).url.rstrip("/")
        row = self._connection.execute(BY_ADDRESS, ([address, bare, f"{bare}/"],)).fetchone()
        return str(row[0]) if row else None

    def _of_events(self, asked: str, kind: str, events: tuple[TracedEvent, ...]) -> Trace | None:
        if not events:
            return None
        key = events[0].key
        return Trace(asked, kind, key, events, *self._state(key))

    def _of_key(self, asked: str, key: str) -> Trace | None:
        events = self._events("e.key = %s", key)
        rows, page = self._state(key)
        if not events and not rows:
            return None
        return Trace(asked, "directive" if "directive" in rows or "/" in key else "case", key, events, rows, page)

    def _key(self, asked: str) -> str:
        """The aggregate's key behind a public code or a bare directive id; what was asked when it is a key itself."""
        if PUBLIC_CODE.match(asked.upper()):
            row = self._connection.execute(
                "select case_id from ledger.case where public_code = %s", (asked.upper(),)
            ).fetchone()
            if row:
                return str(row[0])
        if "/" not in asked:
            row = self._connection.execute(
                "select key from ledger.directive where directive_id = %s order by published_at desc limit 1", (asked,)
            ).fetchone()
            if row:
                return str(row[0])
        return asked

    def _state(self, key: str | None) -> tuple[dict[str, Any], str | None]:
        rows: dict[str, Any] = {}
        with self._connection.cursor(row_factory=dict_row) as cursor:
            directive = cursor.execute(DIRECTIVE, (key,)).fetchone()
            case = cursor.execute(CASE, (key,)).fetchone()
        if directive:
            return {"directive": directive}, f"/directives/{key}"
        if case:
            return {"case": case}, f"/feedback/{case['public_code']}"
        return rows, None

    def _events(self, condition: str, *values: object) -> tuple[TracedEvent, ...]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return tuple(self._event(row) for row in cursor.execute(EVENT.format(condition), values).fetchall())

    def _event(self, row: dict[str, Any]) -> TracedEvent:
        return TracedEvent(
            agency=row["agency"],
            lane=f"lane.{row['agency']}",
            lane_offset=row["lane_offset"],
            event_id=row["id"],
            event_type=row["event_type"],
            portal=row["portal"],
            epoch=row["epoch"],
            sequence=row["sequence"],
            key=row["key"],
            occurred_at=row["occurred_at"],
            published_at=row["published_at"],
            received_at=row["received_at"],
            status=row["status"],
            judgements=self._judgements(row["agency"], row["lane_offset"]),
            parked=row["parked"],
            waits_until=row["waits_until"],
        )

    def _judgements(self, agency: str, offset: int) -> tuple[TracedJudgement, ...]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(JUDGEMENT, (agency, offset)).fetchall()
        return tuple(self._judgement(row) for row in rows)

    def _judgement(self, row: dict[str, Any]) -> TracedJudgement:
        finding = Finding(row["rule"], row["path"] or "", row.pop("params"))
        places = self._connection.execute(RELAYED, (row["position"],)).fetchall()
        sent_on = tuple(SentOn(*place) for place in places)
        return TracedJudgement(**row, message=finding.message, mend=finding.mend, sent_on=sent_on)


def is_address(asked: str) -> bool:
    """True for what begins like the address of a page."""
    return asked.startswith(("https://", "http://"))


def event_id_in(asked: str) -> UUID | None:
    """The event id that was asked for: as it is, as the id of a feed's entry, as a trace id or in a `traceparent`."""
    bare = asked[9:] if asked[:9].lower() == "urn:uuid:" else asked
    found = TRACE_ID.match(bare)
    try:
        return UUID(found["trace"]) if found else UUID(bare) if len(bare) == 36 else None
    except ValueError:
        return None


def _named_in(asked: str) -> str:
    """What the address of a page names, or the id of a feed's entry; anything else as it is."""
    if asked[:9].lower() == "urn:uuid:":
        return asked[9:]
    if not is_address(asked):
        return asked
    found = ADDRESS.search(unquote(urlsplit(asked).path))
    if found is None:
        return asked
    return found["key"] or found["code"] or found["event"].removeprefix("answers/")
