"""`portalbus tail`: what goes over a topic, decoded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portalbus.infra.cli.exits import UNREACHABLE, USAGE, Ended
from portalbus.infra.cli.marks import line, styled
from portalbus.infra.cli.options import (
    USUAL_LANGUAGE,
    Bootstrap,
    Home,
    Json,
    Lang,
    RegistryUrl,
    addresses,
    console,
)

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message
    from rich.text import Text

    from portalbus.infra.record_reading import RecordReader

POLL_S = 0.5
TIMEOUT_S = 10.0


def tail(
    topic: Annotated[str, typer.Argument(help="lane.H26, verdict.H26, central.directive-published, …")],
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="From the oldest record, not from now on.")
    ] = False,
    until_end: Annotated[bool, typer.Option("--until-end", help="End at the present end of the topic.")] = False,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="End after so many records.", show_default=False)
    ] = None,
    json_: Json = False,
    lang: Lang = USUAL_LANGUAGE,
    bootstrap: Bootstrap = None,
    registry_url: RegistryUrl = None,
    home: Home = None,
) -> None:
    """Print the records of a topic as they come, decoded; Ctrl-C ends it.

    \b
      portalbus tail verdict.H26
      portalbus tail lane.G22 --from-beginning --until-end --json | jq .record.payload.title

    The text of a feedback is printed with --json only.
    """
    from portalbus.infra.record_reading import RecordReader
    from portalbus.schemas.registry import SchemaRegistry

    where = addresses(home, ("bootstrap", "registry_url"), bootstrap=bootstrap, registry_url=registry_url)
    reader = RecordReader(SchemaRegistry(where.registry_url))
    printed = 0
    try:
        for message in _messages(where.bootstrap, topic, from_beginning, until_end):
            _print(message, reader, json_, lang)
            printed += 1
            if count is not None and printed >= count:
                return
    except KeyboardInterrupt:
        return


def _messages(bootstrap: str, topic: str, from_beginning: bool, until_end: bool) -> Iterator[Message]:
    from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

    from portalbus.schemas.kafka_settings import librdkafka_settings

    consumer = Consumer(
        {
            **librdkafka_settings(bootstrap),
            "group.id": "portalbus-tail",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "log_level": 2,
        }
    )
    try:
        partitions = _partitions(consumer, topic)
        start = OFFSET_BEGINNING if from_beginning else OFFSET_END
        consumer.assign([TopicPartition(topic, number, start) for number in partitions])
        open_partitions = set(partitions)
        while open_partitions or not until_end:
            message = consumer.poll(POLL_S)
            error = message.error() if message is not None else None
            if message is not None and error is None:
                yield message
            elif message is not None and error is not None and error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(message.partition() or 0)
            elif error is not None:
                raise KafkaException(error)
    finally:
        consumer.close()


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    topics = consumer.list_topics(timeout=TIMEOUT_S).topics
    if topic not in topics:
        near = [name for name in sorted(topics) if not name.startswith("_") and name.startswith(topic.split(".")[0])]
        raise Ended(USAGE, f"there is no topic {topic}" + (f"; there are {', '.join(near[:6])} …" if near else ""))
    if topics[topic].error is not None:
        raise Ended(UNREACHABLE, f"{topic} cannot be read: {topics[topic].error}")
    return list(topics[topic].partitions)


def _print(message: Message, reader: RecordReader, as_json: bool, language: str) -> None:
    from portalbus.schemas.errors import UndecodableRecord

    milliseconds = message.timestamp()[1]
    key = (message.key() or b"").decode(errors="replace")
    place = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
    try:
        name, record = reader.read(message.value())
    except UndecodableRecord as error:
        name, record = "", {"rule": error.rule, "detail": error.detail, "bytes": len(message.value() or b"")}
    if as_json:
        time = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()
        typer.echo(
            json.dumps(
                {**place, "time": time, "key": key, "type": name or None, "record": _plain(record)}, ensure_ascii=False
            )
        )
        return
    local = datetime.fromtimestamp(milliseconds / 1000).astimezone()
    head = f"{local:%H:%M:%S.%f}"[:-3] + f" {message.partition()}@{message.offset()}"
    console().print(styled(head, "dim"), _summary(name, record, key, language))


def _summary(name: str, record: dict[str, Any], key: str, language: str) -> Text:
    """One line about a record: never the text of a feedback."""
    if not name:
        return line(styled("not readable", "red"), f" [{record['rule']}] {record['detail']} ({record['bytes']} bytes)")
    if name == "Verdict":
        colour = {"ACCEPTED": "green", "WAITING": "yellow", "DUPLICATE": "cyan"}.get(record["status"], "red")
        said = record["message"][language]
        where = f"{record['lane']}@{record['offset']}"
        return line(styled(record["status"], colour), f" {where} {record['key'] or ''} [{record['rule']}] {said}")
    if name == "SourceManifest":
        said = f"{name} {record['agency']}/{record['portal']} up to sequence {record['last_sequence']}"
        return styled(said, "dim")
    envelope = record["envelope"]
    source = f"{envelope['agency']}/{envelope['portal']} #{envelope['sequence']}"
    what = {
        "DirectivePublished": lambda: f"{record['action']} v{record['version']} {record['number']} {record['title']}",
        "FeedbackReceived": lambda: f"to {record['addressed_to']}, {record['regime']}, {record['channel']}",
        "FeedbackProgressed": lambda: f"{record['step']} {record['to_agency'] or ''}",
        "FeedbackResolved": lambda: f"{record['outcome']} {record['reason_code'] or ''}",
    }.get(name, lambda: "")()
    return line(styled(name, "bold"), f" {source} {key} {what}".rstrip())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return value
