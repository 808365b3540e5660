"""Put on the PYTHONPATH of a process under test: it works without the defence that PORTALBUS_TEST_WITHOUT names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from portalbus.streams.judgement.docket import Content, Docket, Item


def without_unique_event_id() -> None:
    """The judge remembers no ids."""
    from portalbus.streams.judgement import docket

    hear = docket.Docket.hear

    def forgetful(one: Docket, items: Iterable[Item]) -> None:
        for item in items:
            one.history.event_ids.clear()
            hear(one, [item])

    docket.Docket.hear = forgetful  # type: ignore[method-assign,assignment]


def without_position_topic() -> None:
    """A relay begins at the beginning."""
    from portalbus.streams.relaying import position

    position.read_position = lambda *_: 0


def without_compare_and_set() -> None:
    """Whatever a worker brings is new, wherever the ledger stands."""
    from portalbus.streams.ledger import ledger

    def everything(items: Iterable[Item], before: Mapping[str, int]) -> tuple[list[Item], dict[str, int]]:
        found = list(items)
        return found, {**before, **{item.record.agency: item.record.offset + 1 for item in found}}

    ledger._what_is_new = everything


def without_seek_to_ledger() -> None:
    """A worker reads on where the consumer group says, and at the end of a lane of which the group knows nothing."""
    from confluent_kafka import Consumer, TopicPartition

    from portalbus.streams.intake import Intake
    from portalbus.streams.settings import StreamSettings

    in_ledger = Intake._positions

    def as_the_group_says(intake: Intake, lanes: Sequence[str]) -> Mapping[str, int]:
        in_ledger(intake, lanes)
        settings = StreamSettings.parse("portalbus-worker")
        consumer = Consumer({"bootstrap.servers": settings.bootstrap, "group.id": settings.group})
        try:
            said = consumer.committed([TopicPartition(lane, 0) for lane in lanes], 30)
            ends = {lane: consumer.get_watermark_offsets(TopicPartition(lane, 0), 30)[1] for lane in lanes}
        finally:
            consumer.close()
        return {place.topic: place.offset if place.offset >= 0 else ends[place.topic] for place in said}

    Intake._positions = as_the_group_says  # type: ignore[method-assign,assignment]


def without_catch_in_handler() -> None:
    """What cannot be read is raised, out of the handler."""
    from portalbus.streams.decoding.decoder import Decoder
    from portalbus.streams.judgement.docket import Unreadable

    read = Decoder.read

    def raising(decoder: Decoder, values: Sequence[bytes | None]) -> list[Content]:
        contents = read(decoder, values)
        for content in contents:
            if isinstance(content, Unreadable):
                raise ValueError(content.rule)
        return contents

    Decoder.read = raising  # type: ignore[method-assign,assignment]


def without_outbox_fsync() -> None:
    """The outbox commits as SQLite does by default in this mode: a power cut may undo the last commits."""
    from portalbus.producers import database

    connect = database._connect

    def hasty(path: Path, durable: bool) -> sqlite3.Connection:
        connection = connect(path, durable)
        connection.execute("pragma synchronous = normal")
        return connection

    database._connect = hasty


SWITCH_OFF = {
    "unique-event-id": without_unique_event_id,
    "position-topic": without_position_topic,
    "compare-and-set": without_compare_and_set,
    "seek-to-ledger": without_seek_to_ledger,
    "catch-in-handler": without_catch_in_handler,
    "outbox-fsync": without_outbox_fsync,
}

if defence := os.environ.get("PORTALBUS_TEST_WITHOUT"):
    SWITCH_OFF[defence]()
