"""Reads what the ledger knows about the sources, directives and cases of a batch: one round trip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from sys import maxsize
from typing import Any

from psycopg import Connection

from portalbus.schemas.codec import Decoded, Misshapen, WriterSchemas, read
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.models import Canary, DirectivePublished, Envelope, Event, FeedbackReceived, SourceManifest
from portalbus.streams.judgement.docket import Item, Unreadable, lane_time
from portalbus.streams.judgement.gaps import WAITS_FOR_GAP, Place, kept_from_of
from portalbus.streams.judgement.history import DirectiveState, History, SourceState, WaitingEvent
from portalbus.streams.judgement.holding import NO_ROOM, Heard, Room, may_go_on
from portalbus.streams.judgement.parked import HELD, Claim, ParkedRecord, claim_of
from portalbus.streams.ledger.case_rows import case_of
from portalbus.streams.ledger.gap_rows import gap_of
from portalbus.streams.ledger.hearing import HeardLanes

WANTED = """
select agency, event_id::text, content_hash from ledger.repair
where agency = any(string_to_array(%s, ',')) and healed_at is null and asked_at is not null"""
TAKEN = """
select e.key, e.event_type, coalesce(v.version, 0)
from ledger.event e left join ledger.directive_version v on v.key = e.key and v.event_id = e.event_id
where e.key = any(string_to_array(%s, ',')) and e.status = 'ACCEPTED'"""
# Where a parked record took the place of an event that is missing, it was not this event: else it would not be missing.
UNHEARD = """
select r.agency, r.event_id::text from ledger.repair r join ledger.parked p using (agency, portal, epoch, sequence)
where r.event_id = any(string_to_array(%s, ',')::uuid[]) and r.healed_at is null and r.kind = 'missing'"""

MOST_GAPS = 300
"""So many of a source's newest gaps come with it; where there are more, those that hold and those that are touched."""

MOST_PLACES = 200
"""So many of a source's newest records that were not read keep their places open for the events that may come for them,
also when they were discarded: what was refused is the record, not an event that nobody has seen."""

NAMED_SOURCES = "unnest(string_to_array(%s, ','), string_to_array(%s, ',')) q(agency, portal)"
HOLDING_LANES = "select agency, portal from ledger.source where held > 0 and agency = any(string_to_array(%s, ','))"
TOUCHED_SOURCES = f"(select * from {NAMED_SOURCES} union {HOLDING_LANES}) q"
"""The sources of a batch, and those of its lanes that hold events: any record of the lane may end a hold."""
SOURCES = f"""
select s.agency, s.portal, s.first_heard_at, s.last_heard_at, s.status, s.epoch, s.last_sequence, s.clock_offset_ms,
       s.held, s.held_bytes, s.clock_leads
from {TOUCHED_SOURCES} join ledger.source s using (agency, portal)"""
GAP = "g.agency, g.portal, g.epoch, g.first, g.last, g.opened_at, g.state, g.hold_until, g.asked, g.ask_at"
GAPS = f"""
select {GAP} from {TOUCHED_SOURCES} cross join lateral (
    select * from ledger.gap where gap.agency = q.agency and gap.portal = q.portal
        order by epoch desc, first desc limit {MOST_GAPS}) g"""
GAPS_OF_CROWDED = f"""
select {GAP} from unnest(%s::text[], %s::text[]) q(agency, portal)
join ledger.gap g using (agency, portal) where g.hold_until is not null
union all
select {GAP} from unnest(%s::text[], %s::text[], %s::int4[], %s::int8[]) q(agency, portal, epoch, sequence)
cross join lateral (
    select * from ledger.gap where gap.agency = q.agency and gap.portal = q.portal and gap.epoch = q.epoch
        and gap.first <= q.sequence order by first desc limit 1) g"""
EVENT_IDS = """
select e.agency, e.event_id::text, e.content_hash
from unnest(string_to_array(%s, ','), string_to_array(%s, ',')::uuid[]) q(agency, event_id)
join ledger.event e on e.agency = q.agency and e.event_id = q.event_id and e.claims_id"""
DIRECTIVES = """
select key, agency, version, withdrawn, published_at
from ledger.directive where key = any(string_to_array(%s, ','))"""
CASES = """
select case_id, receiver, owner, state = 'RESOLVED', stage, passed, steps, answer_heard_at, answer_published_at, urgent
from ledger.case
where case_id = any(string_to_array(%s, ','))"""
PUBLIC_CODES = "select public_code, case_id from ledger.case where public_code = any(string_to_array(%s, ','))"
SEATS = "select agency, lane_offset, key, rule, rank, until, received_at, value, position from ledger.waiting"
WAITING = f"{SEATS} where key = any(string_to_array(%s, ','))"
KEYS_OVER = f"""
with heard (agency, up_to) as (select * from unnest(%(lanes)s::text[], %(up_to)s::timestamptz[]))
select distinct key from (
    select key, sum(size) over (order by until, agency, lane_offset) - size bytes_before from (
        select key, until, agency, lane_offset, octet_length(value) size from ledger.waiting
        where until < greatest((select max(up_to) from heard), %(others)s) and rule <> '{WAITS_FOR_GAP}'
          and until < coalesce((
            select up_to from heard where heard.agency = case waiting.rule when '{HELD}' then waiting.agency
                else split_part(split_part(waiting.key, '/', 1), '-', 1) end), %(others)s)
        order by until, agency, lane_offset limit %(limit)s) over_due) counted
where bytes_before < %(most)s"""
"""An event's lane is the one that `WaitingEvent.awaits` names."""

HOLDING = """
select agency, lane_offset, key, holds_until, portal, null, null
from ledger.parked where key = any(string_to_array(%s, ',')) and state = 'parked' and holds_until is not null"""
PLACES = f"""
select p.agency, p.lane_offset, null, null, p.portal, p.epoch, p.sequence
from {NAMED_SOURCES} cross join lateral (
    select * from ledger.parked where parked.agency = q.agency and parked.portal = q.portal
        and epoch is not null and state <> 'redriven' order by lane_offset desc limit {MOST_PLACES}) p"""
PARKED = f"{HOLDING} union all {PLACES}"

Decode = Callable[[bytes], Decoded]


def waiting_events(writers: WriterSchemas, learn: Callable[[], None] = lambda: None) -> Decode:
    """Reads what lies in the waiting room: it was read once, so it raises TypeError where that is no event any more.

    Another worker may have known a schema that this one does not know yet: then `learn` adds to the writers what can be
    known now. Raises UndecodableRecord when that is not enough.
    """

    def decode(value: bytes) -> Decoded:
        try:
            found = read(value, writers)
        except UndecodableRecord:
            learn()
            found = read(value, writers)
        if not isinstance(found, Decoded):
            raise TypeError("an event in the waiting room no longer reads as an event")
        return found

    return decode


class TooMuchAtOnce(Exception):
    """These items may free more held events than one transaction should take up: take them in as two halves."""


def fetch_history(
    connection: Connection[Any],
    items: Sequence[Item],
    decode: Decode,
    keys: Iterable[str] = (),
    room: Room = NO_ROOM,
    most: int = maxsize,
) -> History:
    """The working copy for these items, and for what waits for these keys. `decode` reads waiting events' values.

    Events held behind a gap come with it when the items may free them, or fill the `room` of a source. Raises
    TooMuchAtOnce when several items together may free more than `most` bytes of them.
    """
    wanted = _Wanted()
    for item in items:
        wanted.add(item)
    wanted.rooms.extend(keys)
    history = _fetch(connection, wanted, decode)
    if any(source.held for source in history.sources.values()):
        freed = may_go_on(history, map(heard_of, items), room)
        if len(items) > 1 and sum(source.held_bytes for source in freed) > most:
            raise TooMuchAtOnce
        _fetch_rooms(connection, [source.hold_key for source in freed], wanted, history, decode)
    return history


def fetch_held(connection: Connection[Any], agencies: Iterable[str], decode: Decode) -> History:
    """The working copy for everything that is held behind gaps on these lanes."""
    wanted = _Wanted()
    wanted.lanes.update(agencies)
    history = _fetch(connection, wanted, decode)
    _fetch_rooms(connection, [source.hold_key for source in history.sources.values()], wanted, history, decode)
    return history


def fetch_overdue(connection: Connection[Any], heard: HeardLanes, limit: int, most: int, decode: Decode) -> History:
    """The working copy for the events whose time to wait is over on the lanes that they depend on, with their
    directives and cases.

    For `limit` of them, or as many as have `most` bytes together; the last one may go beyond.
    """
    wanted = _Wanted()
    given = {
        "lanes": list(heard.lanes),
        "up_to": list(heard.lanes.values()),
        "others": heard.others,
        "limit": limit,
        "most": most,
    }
    wanted.rooms.extend(key for (key,) in connection.execute(KEYS_OVER, given))
    return _fetch(connection, wanted, decode) if wanted.rooms else History()


def _fetch(connection: Connection[Any], wanted: _Wanted, decode: Decode) -> History:
    """What is wanted, and then what the waiting events need that came with it, if that is more."""
    history = History()
    _fetch_once(connection, wanted, history, decode)
    _fetch_further(connection, wanted, history, decode)
    if not history.reconciling.wanted.keys().isdisjoint(wanted.event_ids):
        keys = _list(wanted.directives + wanted.cases)
        history.reconciling.taken.update(connection.execute(TAKEN, (keys,)).fetchall())
        ids = _list(event_id for _, event_id in history.reconciling.wanted)
        history.reconciling.unheard.update(connection.execute(UNHEARD, (ids,)).fetchall())
    return history


def _fetch_rooms(
    connection: Connection[Any], keys: list[str], wanted: _Wanted, history: History, decode: Decode
) -> None:
    """Adds what waits for these keys, with what it touches."""
    more = _Wanted()
    more.rooms.extend(keys)
    if keys:
        _fetch_once(connection, more, history, decode)
        wanted.add_all(more)
        _fetch_further(connection, wanted, history, decode)


def _fetch_further(connection: Connection[Any], wanted: _Wanted, history: History, decode: Decode) -> None:
    while (history.waiting or history.held) and (more := wanted.further(history)) is not None:
        _fetch_once(connection, more, history, decode)
        wanted.add_all(more)


def _fetch_once(connection: Connection[Any], wanted: _Wanted, history: History, decode: Decode) -> None:
    sources = sorted(wanted.sources)
    with connection.pipeline():
        names = (_list(agency for agency, _ in sources), _list(portal for _, portal in sources))
        lanes = _list(sorted(wanted.lanes))
        source_rows = connection.execute(SOURCES, (*names, lanes))
        gap_rows = connection.execute(GAPS, (*names, lanes))
        ids = (_list(agency for agency, _ in wanted.event_ids), _list(event_id for _, event_id in wanted.event_ids))
        id_rows = connection.execute(EVENT_IDS, ids)
        directive_rows = connection.execute(DIRECTIVES, (_list(wanted.directives),))
        case_rows = connection.execute(CASES, (_list(wanted.cases),))
        code_rows = connection.execute(PUBLIC_CODES, (_list(wanted.public_codes),))
        keys = _list(wanted.rooms)
        waiting_rows = connection.execute(WAITING, (keys,))
        parked_rows = connection.execute(PARKED, (keys, *names))
        wanted_rows = connection.execute(WANTED, (lanes,))
        history.sources.update({(row[0], row[1]): SourceState(*row) for row in source_rows})
        history.event_ids.update({(row[0], row[1]): row[2] for row in id_rows})
        history.directives.update({row[0]: DirectiveState(*row) for row in directive_rows})
        history.cases.update({row[0]: case_of(row) for row in case_rows})
        history.public_codes.update(code_rows.fetchall())
        _list_gaps(history, gap_rows)
        seat_waiting(history, waiting_rows.fetchall(), decode)
        note_parked(history, parked_rows.fetchall())
        history.reconciling.wanted.update({(row[0], row[1]): row[2] for row in wanted_rows})
    crowded = [source for source in history.sources.values() if len(source.gaps) >= MOST_GAPS and not source.crowded]
    if crowded:
        _fetch_gaps(connection, crowded, wanted.items, history)


def _fetch_gaps(
    connection: Connection[Any], crowded: Sequence[SourceState], items: Iterable[Item], history: History
) -> None:
    """Adds the gaps of these sources that hold, and those that the items touch."""
    for source in crowded:
        source.crowded = True
    names = [source.name for source in crowded]
    touched = [(*name, *place) for name, place in _touched(items, history)]
    columns = [[row[column] for row in touched] for column in range(4)]
    holding = ([agency for agency, _ in names], [portal for _, portal in names])
    _list_gaps(history, connection.execute(GAPS_OF_CROWDED, (*holding, *columns)))


def _touched(items: Iterable[Item], history: History) -> Iterator[tuple[tuple[str, str], Place]]:
    """The places in the order of crowded sources that records claim, or from which on a source keeps what it sent."""
    for item in items:
        said = _said(item)
        source = history.sources.get((item.record.agency, said.portal or "")) if said is not None else None
        if source is None or not source.crowded:
            continue
        if isinstance(said, Claim):
            if said.sequence is not None:
                yield source.name, Place(source.epoch, said.sequence)
        elif isinstance(said, SourceManifest):
            yield source.name, Place(said.epoch, kept_from_of(said))
        elif said is not None:
            yield source.name, Place(said.epoch, said.sequence)


def _list_gaps(history: History, rows: Iterable[Any]) -> None:
    for agency, portal, *row in rows:
        gap = gap_of(row)
        history.sources[agency, portal].gaps[gap.name] = gap


def seat_waiting(history: History, rows: Iterable[Any], decode: Decode) -> None:
    """Puts stored waiting events into the history."""
    for agency, lane_offset, key, rule, rank, until, received_at, value, position in rows:
        seat = WaitingEvent(
            agency, lane_offset, key, rule, rank, until, received_at, value, decode(value), position, fresh=False
        )
        if rule == WAITS_FOR_GAP:
            envelope = seat.decoded.event.envelope
            history.held.setdefault((agency, envelope.portal), []).append(seat)
        else:
            history.waiting.setdefault(key, []).append(seat)


def note_parked(history: History, rows: Iterable[Any]) -> None:
    """Puts stored parked records into the history: the keys that they hold, and the places that they take."""
    for agency, lane_offset, key, until, portal, epoch, sequence in rows:
        if key is not None:
            kept = ParkedRecord(agency, lane_offset, Claim(key=key), until)
            history.parked.setdefault((agency, key), []).append(kept)
        else:
            history.sources[agency, portal].set_aside.add(Place(epoch, sequence))


def heard_of(item: Item) -> Heard:
    """What a record may move in the order of its source."""
    return Heard(item.record.agency, lane_time(item.record.timestamp_ms), _said(item), len(item.record.value or b""))


def _said(item: Item) -> Envelope | SourceManifest | Claim | None:
    """What a record says of its source."""
    match item.content:
        case Decoded(event=event):
            return event.envelope
        case Misshapen(envelope=envelope):
            return envelope
        case SourceManifest() as manifest:
            return manifest
        case Unreadable():
            return claim_of(item.record)
        case _:
            return None


def _list(names: Iterable[str]) -> str:
    """Names as one parameter: they hold no comma, and one string is far cheaper to send than an array."""
    return ",".join(names)


class _Wanted:
    """What a batch touches."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.lanes: set[str] = set()
        self.sources: set[tuple[str, str]] = set()
        self.event_ids: list[tuple[str, str]] = []
        self.directives: list[str] = []
        self.cases: list[str] = []
        self.public_codes: list[str] = []
        self.rooms: list[str] = []

    def add(self, item: Item) -> None:
        content = item.content
        self.items.append(item)
        self.lanes.add(item.record.agency)
        if isinstance(content, Decoded):
            self._add_envelope(content.event.envelope)
            self.add_aggregate(content.event)
        elif isinstance(content, Misshapen):
            self._add_envelope(content.envelope)
        elif isinstance(content, SourceManifest):
            self.sources.add((content.agency, content.portal))
        else:
            claim = claim_of(item.record)
            if claim.portal is not None:
                self.sources.add((item.record.agency, claim.portal))
            if claim.key is not None:
                self.rooms.append(claim.key)

    def add_aggregate(self, event: Event) -> None:
        payload = event.payload
        if isinstance(payload, Canary):
            return
        self.rooms.append(event.key)
        if isinstance(payload, DirectivePublished):
            self.directives.append(event.key)
            return
        self.cases.append(payload.case_id)
        if isinstance(payload, FeedbackReceived):
            self.public_codes.append(payload.public_code)

    def add_all(self, other: _Wanted) -> None:
        for mine, theirs in zip(self._lists(), other._lists(), strict=True):
            mine.extend(theirs)

    def further(self, history: History) -> _Wanted | None:
        """What the events that were found waiting touch, and nobody has asked for yet; None when that is nothing."""
        more = _Wanted()
        for room in chain(history.waiting.values(), history.held.values()):
            for seat in room:
                more.add_aggregate(seat.decoded.event)
        for theirs, asked in zip(more._lists(), self._lists(), strict=True):
            theirs[:] = sorted(set(theirs) - set(asked))
        return more if any(more._lists()) else None

    def _lists(self) -> tuple[list[str], ...]:
        return self.directives, self.cases, self.public_codes, self.rooms

    def _add_envelope(self, envelope: Envelope) -> None:
        self.sources.add((envelope.agency, envelope.portal))
        self.event_ids.append((envelope.agency, envelope.id))
