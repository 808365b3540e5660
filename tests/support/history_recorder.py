"""Writes down what was seen of a real bus, in the words of `history_checker`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition
from psycopg import Connection

from history_report import Line
from portalbus.schemas.codec import Decoded, Misshapen, WriterSchemas, read
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.models import Canary
from portalbus.schemas.notices import NOTICES
from portalbus.schemas.topics import CANONICAL, lane_of, verdicts_of

JUDGEMENTS = """
select j.position, j.agency, j.lane_offset, j.status, j.final, j.rule, extract(epoch from j.judged_at)::float8,
       e.event_id::text, e.event_type, e.key, e.portal, e.epoch, e.sequence
from ledger.judgement j join ledger.event e using (agency, lane_offset)
where j.position between %s and %s order by j.position"""
NOTICED = "select position from ledger.notice where position between %s and %s"
ASKED_FOR = """
select agency, portal, epoch, first, last from ledger.gap
union select value ->> 'agency', value ->> 'portal', (value ->> 'epoch')::int, (value ->> 'first')::int8,
             (value ->> 'last')::int8
from ledger.notice where record = 'ResendRequested' and position between %s and %s"""
LAST_POSITION = 2**62
EFFECTS = """
select 'DirectivePublished', key, position, event_id::text from ledger.directive_version
union all select 'FeedbackReceived', case_id, position, null from ledger.case"""


class HistoryFile:
    """A history that is being written. Several processes may write to one, and may be killed at any moment."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def put(self, lines: Iterable[Line]) -> None:
        """Writes lines; when it returns, they outlive this process."""
        text = "".join(json.dumps(line) + "\n" for line in lines)
        os.write(self._fd, text.encode())

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._fd)


def ledger_lines(connection: Connection[Any]) -> Iterator[Line]:
    """Judgements, notices, gaps and effects, as the tables hold them now."""
    yield from decided_lines(connection)
    for kind, key, position, event_id in rows(connection, EFFECTS):
        yield {"saw": "effect", "type": kind, "key": key, "position": position, "id": event_id}


def decided_lines(connection: Connection[Any], first: int = 1, last: int = LAST_POSITION) -> Iterator[Line]:
    """Judgements and notices at these positions, with the gaps that were named up to now."""
    between = (first, last)
    for position, agency, offset, status, final, rule, at, event_id, kind, key, portal, epoch, sequence in rows(
        connection, JUDGEMENTS, between
    ):
        yield {
            "saw": "judged",
            "position": position,
            "lane": lane_of(agency),
            "offset": offset,
            "status": status,
            "final": final,
            "rule": rule,
            "at": at,
            "id": event_id,
            "type": kind,
            "key": key,
            "source": f"{agency}/{portal}" if epoch else None,
            "epoch": epoch or 0,
            "sequence": sequence or 0,
        }
    for (position,) in rows(connection, NOTICED, between):
        yield {"saw": "noticed", "position": position}
    for agency, portal, epoch, start, end in rows(connection, ASKED_FOR, between):
        yield {"saw": "gap", "source": f"{agency}/{portal}", "epoch": epoch, "first": start, "last": end}


def rows(connection: Connection[Any], query: Any, values: Sequence[Any] = ()) -> Iterable[tuple[Any, ...]]:
    """The rows of a query."""
    return connection.execute(query, values)


def lane_lines(bootstrap: str, agencies: Sequence[str], writers: WriterSchemas) -> Iterator[Line]:
    """The events on the lanes."""
    for message in everything(bootstrap, [lane_of(agency) for agency in agencies]):
        yield from laid(message, writers)


def laid(message: Message, writers: WriterSchemas) -> Iterator[Line]:
    """The event in a record of a lane. Canaries are the SDK's own: nobody else was to publish them."""
    line = {
        "saw": "laid",
        "lane": message.topic(),
        "offset": message.offset(),
        "hash": words(message.value()),
    }
    try:
        content = read(message.value(), writers)
    except UndecodableRecord:
        yield {**line, "id": None, "source": None, "epoch": 0, "sequence": 0}
        return
    if isinstance(content, Decoded | Misshapen):
        head = content.event.envelope if isinstance(content, Decoded) else content.envelope
        source = f"{head.agency}/{head.portal}"
        if isinstance(content, Decoded) and isinstance(content.event.payload, Canary):
            yield {"saw": "attempted", "id": head.id, "source": source}
        yield {**line, "id": head.id, "source": source, "epoch": head.epoch, "sequence": head.sequence}


def outgoing_lines(bootstrap: str, agencies: Sequence[str]) -> Iterator[Line]:
    """What a `read_committed` reader finds in the canonical topics and the verdict topics."""
    for message in everything(bootstrap, outgoing_topics(agencies)):
        yield from sent(message)


def outgoing_topics(agencies: Sequence[str]) -> list[str]:
    """The canonical topics, and the verdict topics of these agencies."""
    return [*CANONICAL.values(), *(verdicts_of(agency) for agency in agencies)]


def sent(message: Message) -> Iterator[Line]:
    """The judgement in a record of a canonical topic or a verdict topic."""
    headers = headers_of(message)
    place = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
    position = int(headers["portalbus-position"])
    if message.topic() in CANONICAL.values():
        event_id = headers["ce_id"].decode()
        yield {"saw": "canonical", **place, "position": position, "id": event_id, "hash": words(message.value())}
    elif headers["ce_type"].decode().rpartition(".")[2] not in NOTICES:
        yield {"saw": "verdict", **place, "position": position}


def everything(
    bootstrap: str, topics: Sequence[str], login: Mapping[str, str] | None = None, group: str = "history"
) -> Iterator[Message]:
    """Every committed record that these topics hold now, for a login whose rights name its `group`."""
    consumer = Consumer(
        {
            **(login or {}),
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        known = consumer.list_topics(timeout=30).topics
        rest = {(topic, number) for topic in topics for number in known[topic].partitions}
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in rest])
        while rest:
            message = consumer.poll(60)
            assert message is not None, f"the end of {rest} did not come"
            if message.error() is not None:
                rest.discard((message.topic() or "", message.partition() or 0))
            else:
                yield message
    finally:
        consumer.close()


def headers_of(message: Message) -> dict[str, bytes]:
    """The headers of a message."""
    found: Any = message.headers() or []
    return {name: value for name, value in found if isinstance(value, bytes)}


def words(value: bytes | None) -> str:
    """A digest of a value."""
    return hashlib.blake2b(value or b"", digest_size=8).hexdigest()
