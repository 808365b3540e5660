"""Reads what the ledger knows about the sources, directives and cases of a batch: one round trip."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from psycopg import Connection

from portalbus.schemas.codec import Decoded, Misshapen
from portalbus.schemas.models import DirectivePublished, Envelope, FeedbackReceived, SourceManifest
from portalbus.streams.judgement.docket import Item
from portalbus.streams.judgement.history import CaseState, DirectiveState, History, SourceState, WaitingEvent

NAMED_SOURCES = "unnest(string_to_array(%s, ','), string_to_array(%s, ',')) q(agency, portal)"
SOURCES = f"""
select s.agency, s.portal, s.first_heard_at, s.last_heard_at, s.status, s.epoch, s.last_sequence, s.clock_offset_ms
from {NAMED_SOURCES} join ledger.source s using (agency, portal)"""
GAPS = f"""
select g.agency, g.portal, g.epoch, g.first, g.last, g.opened_at
from {NAMED_SOURCES} join ledger.gap g using (agency, portal)"""
EVENT_IDS = """
select e.agency, e.event_id::text, e.content_hash
from unnest(string_to_array(%s, ','), string_to_array(%s, ',')::uuid[]) q(agency, event_id)
join ledger.event e on e.agency = q.agency and e.event_id = q.event_id and e.claims_id"""
DIRECTIVES = """
select key, agency, version, withdrawn, published_at
from ledger.directive where key = any(string_to_array(%s, ','))"""
CASES = """
select case_id, receiver, owner, state = 'RESOLVED' from ledger.case where case_id = any(string_to_array(%s, ','))"""
PUBLIC_CODES = "select public_code, case_id from ledger.case where public_code = any(string_to_array(%s, ','))"
SEATS = "select agency, lane_offset, key, rule, rank, until, received_at, value from ledger.waiting"
WAITING = f"{SEATS} where key = any(string_to_array(%s, ','))"
WAITING_OVER = f"{SEATS} where key in (select key from ledger.waiting where until < %s order by until limit %s)"

Decode = Callable[[bytes], Decoded]


def fetch_history(connection: Connection[Any], items: Iterable[Item], decode: Decode) -> History:
    """The working copy for these items. `decode` reads the values of waiting events."""
    wanted = _Wanted()
    for item in items:
        wanted.add(item)
    sources = sorted(wanted.sources)
    with connection.pipeline():
        names = (_list(agency for agency, _ in sources), _list(portal for _, portal in sources))
        source_rows = connection.execute(SOURCES, names)
        gap_rows = connection.execute(GAPS, names)
        ids = (_list(agency for agency, _ in wanted.event_ids), _list(event_id for _, event_id in wanted.event_ids))
        id_rows = connection.execute(EVENT_IDS, ids)
        directive_rows = connection.execute(DIRECTIVES, (_list(wanted.directives),))
        case_rows = connection.execute(CASES, (_list(wanted.cases),))
        code_rows = connection.execute(PUBLIC_CODES, (_list(wanted.public_codes),))
        waiting_rows = connection.execute(WAITING, (_list(wanted.directives + wanted.cases),))
        history = History(
            sources={(row[0], row[1]): SourceState(*row) for row in source_rows},
            event_ids={(row[0], row[1]): row[2] for row in id_rows},
            directives={row[0]: DirectiveState(*row) for row in directive_rows},
            cases={row[0]: CaseState(*row) for row in case_rows},
            public_codes=dict(code_rows.fetchall()),
        )
        for agency, portal, epoch, first, last, opened_at in gap_rows:
            history.sources[agency, portal].gaps[epoch, first] = (last, opened_at)
        seat_waiting(history, waiting_rows.fetchall(), decode)
    return history


def fetch_overdue(connection: Connection[Any], now: Any, limit: int, decode: Decode) -> History:
    """The working copy for the events whose time to wait is over, with their directives and cases."""
    history = History()
    seat_waiting(history, connection.execute(WAITING_OVER, (now, limit)).fetchall(), decode)
    return history


def seat_waiting(history: History, rows: Iterable[Any], decode: Decode) -> None:
    """Puts stored waiting events into the history."""
    for agency, lane_offset, key, rule, rank, until, received_at, value in rows:
        seat = WaitingEvent(agency, lane_offset, key, rule, rank, until, received_at, value, decode(value), fresh=False)
        history.waiting.setdefault(key, []).append(seat)


def _list(names: Iterable[str]) -> str:
    """Names as one parameter: they hold no comma, and one string is far cheaper to send than an array."""
    return ",".join(names)


class _Wanted:
    """What a batch touches."""

    def __init__(self) -> None:
        self.sources: set[tuple[str, str]] = set()
        self.event_ids: list[tuple[str, str]] = []
        self.directives: list[str] = []
        self.cases: list[str] = []
        self.public_codes: list[str] = []

    def add(self, item: Item) -> None:
        content = item.content
        if isinstance(content, Decoded):
            self._add_envelope(content.event.envelope)
            payload = content.event.payload
            if isinstance(payload, DirectivePublished):
                self.directives.append(content.event.key)
                return
            self.cases.append(payload.case_id)
            if isinstance(payload, FeedbackReceived):
                self.public_codes.append(payload.public_code)
        elif isinstance(content, Misshapen):
            self._add_envelope(content.envelope)
        elif isinstance(content, SourceManifest):
            self.sources.add((content.agency, content.portal))

    def _add_envelope(self, envelope: Envelope) -> None:
        self.sources.add((envelope.agency, envelope.portal))
        self.event_ids.append((envelope.agency, envelope.id))
