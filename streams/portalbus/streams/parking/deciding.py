"""Carrying out an operator's decisions about parked records: one ledger transaction for some of them at a time.

Whoever runs this is a peer of the workers: it takes the ledger's order, judges with the same code, and writes the same
rows in the same transaction; the relay sends what comes of it like everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg import Connection

from portalbus.schemas.codec import WriterSchemas
from portalbus.schemas.directory import AgencyDirectory
from portalbus.streams.decoding.contents import DEADLY, content_of
from portalbus.streams.decoding.decoder import Decoder
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Content, Item, Unreadable
from portalbus.streams.judgement.gaps import Place
from portalbus.streams.judgement.parked import claim_of
from portalbus.streams.judgement.redrive import ParkedDocket
from portalbus.streams.ledger.decider import Decider
from portalbus.streams.ledger.fetching import fetch_history, waiting_events
from portalbus.streams.ledger.order import advance_position, take_turn
from portalbus.streams.ledger.steps import bounds_in_use, decided_told, write_step
from portalbus.streams.ledger.writing import writing
from portalbus.streams.parking.asking import KeptRecord, kept_record

CHUNK = 100
STILL = "still parked"
LOCK = """
select agency, lane_offset, portal, epoch, sequence from ledger.parked
where state = 'parked' and (agency, lane_offset) in (select * from unnest(%s::text[], %s::int8[]))
order by agency, lane_offset for update"""
"""The state of those that are decided; `holds_until` stays as it was, for the record."""
DECIDED = """
update ledger.parked set state = %s, decided_by = %s, decided_why = %s, decided_at = %s
where agency = %s and lane_offset = %s"""
NOTED = """
insert into ledger.parking_decision (agency, lane_offset, action, outcome, position, decided_by, decided_why,
    decided_at) values (%s, %s, %s, %s, %s, %s, %s, %s)"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a decision about one record: the rule and status of its verdict, or why it stays parked."""

    agency: str
    lane_offset: int
    parked: bool
    status: str
    rule: str
    detail: str = ""


class Parking:
    """The operator's hold on the parked records of a ledger. `connection` is in a transaction of its own each time.

    Judged is at the database's time and under the bounds of the workers, as the ledger was told of them, unless `clock`
    and `bounds` say otherwise. With a `decoder` no value is read in this process; else only those that killed a decoder
    are not.
    """

    def __init__(
        self,
        connection: Connection[Any],
        writers: WriterSchemas,
        directory: AgencyDirectory,
        bounds: Bounds | None = None,
        clock: Callable[[], datetime] | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        self._connection = connection
        self._writers = writers
        self._decode = waiting_events(writers)
        self._directory = directory
        self._bounds = bounds
        self._clock = clock
        self._decoder = decoder

    def redrive(self, places: Sequence[tuple[str, int]], decider: Decider) -> Iterator[Outcome]:
        """Judges these records again, in the order of their lanes; what was decided meanwhile is passed over."""
        return self._each_chunk(places, "redrive", decider)

    def discard(self, places: Sequence[tuple[str, int]], decider: Decider) -> Iterator[Outcome]:
        """Refuses these records for good."""
        return self._each_chunk(places, "discard", decider)

    def _each_chunk(self, places: Sequence[tuple[str, int]], action: str, decider: Decider) -> Iterator[Outcome]:
        ordered = sorted(places)
        for start in range(0, len(ordered), CHUNK):
            kept = [
                found for place in ordered[start : start + CHUNK] if (found := kept_record(self._connection, *place))
            ]
            contents = self._contents(kept) if action == "redrive" else [_UNREAD] * len(kept)
            items = [Item(one.record(), content) for one, content in zip(kept, contents, strict=True)]
            with self._connection.transaction():
                outcomes = self._decide(kept, items, action, decider)
            yield from outcomes

    def _decide(
        self, chunk: Sequence[KeptRecord], read_before: Sequence[Item], action: str, decider: Decider
    ) -> list[Outcome]:
        connection = self._connection
        position, at = take_turn(connection)
        now = self._clock() if self._clock else at
        bounds = self._bounds or bounds_in_use(connection)
        agencies, offsets = [one.agency for one in chunk], [one.lane_offset for one in chunk]
        # Since they were read, some may have been decided, and others may have lost their places to events that came.
        open_now = {
            (agency, offset): {"portal": portal, "epoch": epoch, "sequence": sequence}
            for agency, offset, portal, epoch, sequence in connection.execute(LOCK, (agencies, offsets))
        }
        pairs = [
            (replace(one, **place), item)
            for one, item in zip(chunk, read_before, strict=True)
            if (place := open_now.get((one.agency, one.lane_offset)))
        ]
        history = fetch_history(connection, [item for _, item in pairs], self._decode)
        docket = ParkedDocket(history, self._directory, position, bounds)
        outcomes = [self._decide_one(docket, one, item, now) for one, item in pairs]
        decided = decided_told(action, [(one.agency, one.lane_offset) for one in outcomes if not one.parked])
        with writing(connection, docket, now):
            write_step(connection, decided, position, docket.next_position, now, bounds)
            advance_position(connection, docket.next_position)
        self._note(docket, outcomes, action, decider, now)
        return outcomes

    def _decide_one(self, docket: ParkedDocket, kept: KeptRecord, item: Item, now: datetime) -> Outcome:
        record, content = item
        claim = claim_of(record)
        if isinstance(content, Unreadable) and content is not _UNREAD:
            return Outcome(kept.agency, kept.lane_offset, True, "PARKED", content.rule, content.detail)
        if kept.portal is not None and kept.epoch is not None and kept.sequence is not None:
            source = docket.history.sources.get((kept.agency, kept.portal))
            if source is not None:
                source.set_aside.add(Place(kept.epoch, kept.sequence))
        if isinstance(content, Unreadable):
            decision = docket.discard(kept.agency, kept.lane_offset, kept.received_at, claim, now)
        else:
            decision = docket.redrive(record, content, claim, now)
        return Outcome(kept.agency, kept.lane_offset, False, decision.status.value, decision.rule)

    def _note(
        self, docket: ParkedDocket, outcomes: Sequence[Outcome], action: str, decider: Decider, now: datetime
    ) -> None:
        # The first entry of a record is the decision's own; a later one is what its release brought.
        positions: dict[tuple[str, int], int] = {}
        for entry in docket.entries:
            positions.setdefault((entry.agency, entry.lane_offset), entry.position)
        done = "redriven" if action == "redrive" else "discarded"
        with self._connection.cursor() as cursor:
            cursor.executemany(
                DECIDED,
                [
                    (done, decider.who, decider.why, now, outcome.agency, outcome.lane_offset)
                    for outcome in outcomes
                    if not outcome.parked
                ],
            )
            cursor.executemany(
                NOTED,
                [
                    (
                        outcome.agency,
                        outcome.lane_offset,
                        action,
                        f"{STILL}: {outcome.rule}" if outcome.parked else outcome.rule,
                        positions.get((outcome.agency, outcome.lane_offset)),
                        decider.who,
                        decider.why,
                        now,
                    )
                    for outcome in outcomes
                ],
            )

    def _contents(self, kept: Sequence[KeptRecord]) -> Sequence[Content]:
        if self._decoder is not None:
            return self._decoder.read([one.value for one in kept])
        return [self._content(one) for one in kept]

    def _content(self, kept: KeptRecord) -> Content:
        if kept.reason == DEADLY:  # it may kill this process too
            with Decoder(self._writers) as decoder:
                return decoder.read([kept.value])[0]
        return content_of(kept.value, self._writers)


_UNREAD = Unreadable("parked.discarded", "not read")
