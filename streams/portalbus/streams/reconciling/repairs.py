"""The list of differences: `ledger.repair`. What is found twice is listed once, until it is healed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from psycopg import Connection

from portalbus.streams.reconciling.difference import Difference, Kind, Place

LIST: LiteralString = """
insert into ledger.repair (kind, place, agency, portal, epoch, sequence, event_id, content_hash, key, version, columns,
                           found_at)
select kind, place, agency, portal, epoch, sequence, event_id, content_hash, key, version,
       array(select jsonb_array_elements_text(columns)), %(now)s
from json_to_recordset(%(rows)s) as row (kind text, place text, agency text, portal text, epoch int4, sequence int8,
    event_id uuid, content_hash bytea, key text, version int4, columns jsonb)
on conflict do nothing"""
COLUMNS: LiteralString = """
id, kind, place, agency, portal, epoch, sequence, event_id::text, content_hash, key, version, columns, found_at, asked,
asked_at, healed_at, healed_from"""
OPEN: LiteralString = f"""
select {COLUMNS} from ledger.repair
where healed_at is null and (%(agencies)s::text[] is null or agency = any(%(agencies)s)) order by id"""
SINCE: LiteralString = f"""
select {COLUMNS} from ledger.repair
where (healed_at is null or healed_at >= %(since)s)
  and (%(agencies)s::text[] is null or agency = any(%(agencies)s)) order by id"""
HEALED: LiteralString = """
update ledger.repair set healed_at = %s, healed_from = %s, value = null where id = any(%s) and healed_at is null"""
KEYS: LiteralString = """
update ledger.repair r set key = q.key from unnest(%s::int8[], %s::text[]) q(id, key) where r.id = q.id"""
ASKED: LiteralString = "update ledger.repair set asked = asked + 1, asked_at = %s where id = any(%s)"


class Repair(NamedTuple):
    """One listed difference; `healed_from` says what healed it: ledger, source, removed or kept."""

    id: int
    kind: Kind
    place: Place
    agency: str
    portal: str | None
    epoch: int | None
    sequence: int | None
    event_id: str | None
    content_hash: bytes | None
    key: str | None
    version: int | None
    columns: list[str]
    found_at: datetime
    asked: int
    asked_at: datetime | None
    healed_at: datetime | None
    healed_from: str | None


def list_differences(connection: Connection[Any], differences: Iterable[Difference], now: datetime) -> None:
    """Puts differences on the list, but for those that stand there open."""
    rows = [
        {
            "kind": difference.kind.value,
            "place": difference.place.value,
            "agency": difference.agency,
            "portal": difference.portal,
            "epoch": difference.epoch,
            "sequence": difference.sequence,
            "event_id": difference.event_id,
            "content_hash": None if difference.content_hash is None else "\\x" + difference.content_hash.hex(),
            "key": difference.key,
            "version": difference.version,
            "columns": list(difference.columns),
        }
        for difference in differences
    ]
    if rows:
        connection.execute(LIST, {"rows": json.dumps(rows), "now": now})


def open_repairs(connection: Connection[Any], agencies: Sequence[str] | None) -> list[Repair]:
    """What is not healed, oldest first."""
    return [_repair(row) for row in connection.execute(OPEN, {"agencies": agencies})]


def repairs_since(connection: Connection[Any], agencies: Sequence[str] | None, since: datetime) -> list[Repair]:
    """What is not healed, and what was healed since a moment."""
    return [_repair(row) for row in connection.execute(SINCE, {"agencies": agencies, "since": since})]


def set_healed(connection: Connection[Any], repairs: Iterable[Repair], healed_from: str, now: datetime) -> None:
    """Notes what healed these differences."""
    if ids := [repair.id for repair in repairs]:
        connection.execute(HEALED, (now, healed_from, ids))


def set_keys(connection: Connection[Any], keys: Mapping[int, str | None]) -> None:
    """Notes whose events they turned out to be."""
    if keys:
        connection.execute(KEYS, (list(keys), list(keys.values())))


def set_asked(connection: Connection[Any], repairs: Iterable[Repair], now: datetime) -> None:
    """Notes that the sources were asked for these events."""
    if ids := [repair.id for repair in repairs]:
        connection.execute(ASKED, (now, ids))


def _repair(row: Sequence[Any]) -> Repair:
    return Repair(row[0], Kind(row[1]), Place(row[2]), *row[3:])
