"""Topics for tests, and what lies on a lane."""

from __future__ import annotations

from dataclasses import dataclass, replace

from confluent_kafka import Consumer, Message, TopicPartition

from portalbus.infra.bus.provision import admin_client, provision, wanted_topics
from portalbus.schemas.topics import contracts


@dataclass(frozen=True)
class OnLane:
    """One event of a source as it lies on a lane."""

    offset: int
    sequence: int
    event_id: str
    key: bytes
    value: bytes
    headers: dict[str, bytes]


def make_topics(bootstrap: str, agency: str, **changed: str) -> str:
    """Makes the agency's topics from their contracts and returns the lane's name.

    `changed` are settings of the lane that differ from its contract, `_` standing for `.`; they may be changed back.
    """
    lane = f"lane.{agency}"
    wanted = wanted_topics([agency], [contract for contract in contracts() if contract.per_agency])
    config = {**wanted[lane].config, **{name.replace("_", "."): value for name, value in changed.items()}}
    provision(admin_client(bootstrap), {**wanted, lane: replace(wanted[lane], config=config)})
    return lane


def read_topic(bootstrap: str, topic: str) -> list[Message]:
    """Every record that a one-partition topic holds at this moment."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "tests", "enable.auto.commit": False})
    partition = TopicPartition(topic, 0, 0)
    consumer.assign([partition])
    found: list[Message] = []
    try:
        _, end = consumer.get_watermark_offsets(partition, timeout=30)
        while not found or (found[-1].offset() or 0) < end - 1:
            message = consumer.poll(30) if end else None
            if message is None:
                break
            assert message.error() is None, str(message.error())
            found.append(message)
    finally:
        consumer.close()
    assert len(found) == end, f"{len(found)} of {end} records of {topic} were read"
    return found


def events_of(bootstrap: str, lane: str, source: str) -> list[OnLane]:
    """The events of one source on a lane, in the order of the lane, without its manifests."""
    found = []
    for message in read_topic(bootstrap, lane):
        headers = {name: value for name, value in dict(message.headers() or []).items() if isinstance(value, bytes)}
        if headers.get("ce_source") == f"/{source}".encode() and "ce_sequence" in headers:
            found.append(
                OnLane(
                    offset=message.offset() or 0,
                    sequence=int(headers["ce_sequence"]),
                    event_id=headers["ce_id"].decode(),
                    key=message.key() or b"",
                    value=message.value() or b"",
                    headers=headers,
                )
            )
    return found


def first_arrivals(events: list[OnLane]) -> list[OnLane]:
    """The events without repetitions. Raises AssertionError when a repetition is not the very same event."""
    seen: dict[int, OnLane] = {}
    for event in events:
        first = seen.setdefault(event.sequence, event)
        assert (first.event_id, first.value) == (event.event_id, event.value), (
            f"sequence {event.sequence} says two things"
        )
    return list(seen.values())
