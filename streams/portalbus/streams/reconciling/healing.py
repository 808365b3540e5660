"""Heals what is listed, in short transactions that hold the ledger's order; judging waits for nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, LiteralString, TypeVar

from psycopg import Connection

from portalbus.schemas.codec import WriterSchemas
from portalbus.streams.ledger.notices import send_notices
from portalbus.streams.ledger.order import take_position
from portalbus.streams.reconciling.conversing import ASK_AGAIN, ask_again
from portalbus.streams.reconciling.difference import Kind, Place
from portalbus.streams.reconciling.event_rows import (
    arrived,
    place_of,
    remove_event,
    restore_identity,
    restore_status,
)
from portalbus.streams.reconciling.lane_reader import Lanes
from portalbus.streams.reconciling.refolding import Refolded, refold
from portalbus.streams.reconciling.releasing import release_waiting
from portalbus.streams.reconciling.repairs import Repair, open_repairs, set_healed, set_keys

T = TypeVar("T")

KEYS_AT_ONCE = 50
"""So many directives and cases are written anew while judging waits: some milliseconds."""

WITHDRAWN: LiteralString = """
update ledger.repair set columns = array_append(columns, 'withdrawn')
where id = any(%s) and not 'withdrawn' = any(columns)"""

# A row that no event stands behind may be all that is left of an event that the ledger has lost from its list.
# It stays until the sources have said what they sent; unless its own lane offset shows that it is made up.
IN_DOUBT: LiteralString = """
select distinct agency from ledger.inquiry union select distinct agency from ledger.repair
where place = 'event' and kind <> 'unknown' and healed_at is null"""
BEING_ASKED: LiteralString = "select distinct agency from ledger.inquiry where asked_at > %s"
MADE_UP: LiteralString = """
select v.key from ledger.directive_version v
left join ledger.lane l on l.agency = split_part(v.key, '/', 1)
left join ledger.event e on e.agency = split_part(v.key, '/', 1) and e.lane_offset = v.lane_offset
where v.key = any(%s)
group by v.key
having bool_and(l.agency is null or v.lane_offset < 0 or v.lane_offset >= l.next_offset
                or (e.event_id is not null and (e.event_id <> v.event_id or e.key <> v.key)))"""


class Healer:
    """Heals open differences. `lanes` has the last word on events that their source does not know."""

    def __init__(self, writers: WriterSchemas, lanes: Lanes | None, clock: Callable[[], datetime]) -> None:
        self._writers = writers
        self._lanes = lanes
        self._clock = clock

    def heal(self, connection: Connection[Any], agencies: Sequence[str] | None) -> None:
        """Heals whatever can be healed now, and asks the sources for the rest. `connection` is in autocommit mode."""
        keys = self._heal_events(connection, open_repairs(connection, agencies))
        listed = open_repairs(connection, agencies)
        doubtful = {agency for (agency,) in connection.execute(IN_DOUBT)}
        keys |= {repair.key for repair in listed if repair.key and repair.place is not Place.EVENT}
        keys -= self._left_alone(connection, listed, doubtful)
        lacking: set[tuple[str, str]] = set()
        for some in _in_parts(sorted(keys), KEYS_AT_ONCE):
            refolded = self._refold(connection, some, listed)
            lacking |= {event for events in refolded.lacking.values() for event in events}
        # While a source is being asked what it has said, what a row should say is not certain.
        asked = {agency for (agency,) in connection.execute(BEING_ASKED, (self._clock() - ASK_AGAIN,))}
        lacking = {(agency, event_id) for agency, event_id in lacking if agency not in asked}
        self._ask(connection, open_repairs(connection, agencies), lacking)

    def _heal_events(self, connection: Connection[Any], listed: Sequence[Repair]) -> set[str]:
        """Heals the ledger's list of events; returns the keys whose rows follow from that."""
        events = [repair for repair in listed if repair.place is Place.EVENT]
        keys: set[str] = set()
        misjudged = [repair for repair in events if repair.columns == ["status"]]
        others = [repair for repair in events if repair.kind is not Kind.UNKNOWN and repair not in misjudged]
        if misjudged or others:
            with connection.transaction():
                take_position(connection)
                keys |= restore_status(connection, misjudged)
                set_healed(connection, misjudged, "ledger", self._clock())
                keys |= self._heal_lost(connection, others)
        for repair in events:
            if repair.kind is Kind.UNKNOWN:
                keys |= self._heal_unknown(connection, repair)
        return keys

    def _heal_lost(self, connection: Connection[Any], repairs: Sequence[Repair]) -> set[str]:
        altered = [repair for repair in repairs if repair.kind is Kind.ALTERED]
        keys: dict[int, str | None] = {}
        for repair in altered:
            key = restore_identity(connection, repair, self._writers)
            if key is not None:
                keys[repair.id] = key
                set_healed(connection, [repair], "source" if repair.asked else "ledger", self._clock())
        missing = [repair for repair in repairs if repair.kind is Kind.MISSING]
        present = arrived(connection, missing) if missing else {}
        set_healed(connection, [repair for repair in missing if repair.id in present], "source", self._clock())
        keys |= present
        set_keys(connection, keys)
        return {key for key in keys.values() if key}

    def _heal_unknown(self, connection: Connection[Any], repair: Repair) -> set[str]:
        lane_offset = place_of(connection, repair)
        if lane_offset is None:
            set_healed(connection, [repair], "removed", self._clock())
            return set()
        held = self._lanes.holds(repair.agency, lane_offset, repair.event_id or "") if self._lanes else None
        if held is None:
            return set()
        with connection.transaction():
            take_position(connection)
            row = connection.execute(
                "select key from ledger.event where agency = %s and lane_offset = %s", (repair.agency, lane_offset)
            ).fetchone()
            if not held:
                remove_event(connection, repair, lane_offset, self._clock())
            # What the lane holds was sent, whatever its source remembers: it stays.
            set_healed(connection, [repair], "kept" if held else "removed", self._clock())
        return {row[0]} if row and row[0] and not held else set()

    def _left_alone(self, connection: Connection[Any], listed: Sequence[Repair], doubtful: set[str]) -> set[str]:
        """Keys whose rows may be all that is left of an event."""
        suspects = {
            repair.key
            for repair in listed
            if repair.key
            and repair.kind is Kind.UNKNOWN
            and repair.place is not Place.EVENT
            and repair.agency in doubtful
        }
        if not suspects:
            return set()
        made_up = {key for (key,) in connection.execute(MADE_UP, (sorted(suspects),))}
        return suspects - made_up

    def _refold(self, connection: Connection[Any], keys: Sequence[str], listed: Sequence[Repair]) -> Refolded:
        now = self._clock()
        with connection.transaction():
            take_position(connection)
            refolded = refold(connection, keys, self._writers, now)
            of_keys = [repair for repair in listed if repair.key in refolded.keys and repair.place is not Place.EVENT]
            for healed_from, repairs in _by_cure(of_keys, refolded):
                set_healed(connection, repairs, healed_from, now)
            release_waiting(connection, refolded.keys, self._writers)
            missed = [repair.id for repair in of_keys if repair.key in refolded.withdrawn]
            if missed:
                connection.execute(WITHDRAWN, (missed,))
        return refolded

    def _ask(self, connection: Connection[Any], listed: Sequence[Repair], lacking: set[tuple[str, str]]) -> None:
        """Asks for what nobody here has: events that are not on the list, and events whose content is gone."""
        wanted = [
            repair
            for repair in listed
            if repair.kind is not Kind.UNKNOWN
            and ((repair.agency, repair.event_id or "") in lacking or _is_lost(repair))
        ]
        with connection.transaction():
            send_notices(connection, ask_again(connection, wanted, self._clock()))


def _is_lost(repair: Repair) -> bool:
    return repair.place is Place.EVENT and repair.columns != ["status"]


def _by_cure(repairs: Iterable[Repair], refolded: Refolded) -> list[tuple[str, list[Repair]]]:
    cures: dict[str, list[Repair]] = {"removed": [], "source": [], "ledger": []}
    for repair in repairs:
        if repair.kind is Kind.UNKNOWN:
            cures["removed"].append(repair)
        else:
            again = (repair.agency, repair.event_id or "") in refolded.from_source
            cures["source" if again else "ledger"].append(repair)
    return list(cures.items())


def _in_parts(items: Sequence[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
