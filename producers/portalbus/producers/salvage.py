"""Reading what can be read of a damaged outbox."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from portalbus.producers.source_row import read_source
from portalbus.producers.stored_event import SELECT_EVENTS, StoredEvent
from portalbus.schemas import avro_files
from portalbus.schemas.errors import PortalbusError

T = TypeVar("T")


@dataclass
class Salvage:
    """What was readable: `undelivered` events in order, the rest in figures. Epoch 0 when it could not be read."""

    epoch: int = 0
    last: int = 0
    undelivered: list[StoredEvent] = field(default_factory=list)
    altered: int = 0
    verdicts: list[tuple[Any, ...]] = field(default_factory=list)
    verdict_place: tuple[int, int] = (0, 0)


def salvage(path: Path) -> Salvage:
    """Everything readable in a damaged outbox. Where it is uncertain whether an event was delivered, it was not."""
    found = Salvage()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        row = _try(lambda: read_source(connection), None)
        delivered = row.delivered_sequence if row else 0
        stuck = {sequence for (sequence,) in _rows(connection, "select sequence from undeliverable")}
        events = {}
        for order in ("asc", "desc"):  # from both ends: a bad page stops a walk
            for raw in _rows(connection, f"{SELECT_EVENTS} order by sequence {order}"):
                events[int(raw[0])] = raw
        for sequence, raw in sorted(events.items()):
            event = _sound(raw)
            if event is None:
                found.altered += 1
            elif sequence > delivered or sequence in stuck:
                found.undelivered.append(event)
        verdicts = _rows(connection, "select offset, event_id, sequence, value, judged_at from verdict")
        found.verdicts = [row for row in verdicts if _are(row, int, bytes | None, int | None, str, int)]
        places = _rows(connection, "select next_offset, called_offset from verdict_place")
        found.verdict_place = next((place for place in places if _are(place, int, int)), (0, 0))
        heard = _rows(connection, "select max(json_extract(value, '$.epoch')) from verdict")
        epochs = [row.epoch if row else 0, *(epoch for (epoch,) in heard if _are((epoch,), int))]
        epochs += [_epoch(event) for event in found.undelivered[-1:]]
        found.epoch, found.last = max(epochs), max([*events, row.last_sequence if row else 0], default=0)
    return found


def placed(event: StoredEvent, epoch: int, sequence: int) -> StoredEvent:
    """The same event at another place of its source: what is said stays, byte for byte."""
    schema = _envelope_schema(event)
    stream = BytesIO(event.body)
    envelope: Any = schemaless_reader(stream, schema, None)
    said = stream.read()
    target = BytesIO()
    schemaless_writer(target, schema, {**envelope, "epoch": epoch, "sequence": sequence})
    return event._replace(sequence=sequence, body=target.getvalue() + said)


def _epoch(event: StoredEvent) -> int:
    envelope: Any = schemaless_reader(BytesIO(event.body), _envelope_schema(event), None)
    return int(envelope["epoch"])


def _envelope_schema(event: StoredEvent) -> Any:
    file = next(file for file in avro_files.history(event.event_type) if file.version == event.schema_version)
    return parse_schema({**file.raw["fields"][0]["type"], "namespace": file.raw["namespace"]})


def _sound(raw: Sequence[Any]) -> StoredEvent | None:
    try:
        event = StoredEvent(*raw[:-1])
        return event if event.checksum == raw[-1] else None
    except (TypeError, ValueError, AttributeError):
        return None  # a bit flip may have changed a column's type as well


def _are(values: Sequence[Any], *kinds: Any) -> bool:
    """True when each value has its kind: in a damaged page any column may hold anything."""
    return all(isinstance(value, kind) for value, kind in zip(values, kinds, strict=True))


def _rows(connection: sqlite3.Connection, query: str) -> list[tuple[Any, ...]]:
    """The rows up to the first one that cannot be read."""
    rows: list[tuple[Any, ...]] = []
    with suppress(sqlite3.Error, OverflowError, UnicodeDecodeError):
        rows.extend(connection.execute(query))
    return rows


def _try(read: Callable[[], T], otherwise: T) -> T:
    try:
        return read()
    except (sqlite3.Error, PortalbusError, TypeError, UnicodeDecodeError):
        return otherwise
