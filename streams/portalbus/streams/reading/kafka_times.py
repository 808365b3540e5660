"""When Kafka stored the records that the relay sent: the only times of a trace that do not stand in the ledger."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from confluent_kafka import Consumer, TopicPartition

from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.streams.reading.tracing import SentOn, Trace, TracedJudgement

MOST_LOOKED_UP = 40
EACH_S = 1.0
"""How long one record is waited for that may be gone; the broker itself may take longer to answer the first time."""


def timed(trace: Trace, bootstrap: str, patience_s: float = 5.0) -> Trace:
    """The trace with Kafka's time wherever something was sent on, 40 records at most, as far as there is an answer."""
    places = [place for event in trace.events for judgement in event.judgements for place in judgement.sent_on]
    if not bootstrap or not places:
        return trace
    times = kafka_times(bootstrap, places[:MOST_LOOKED_UP], patience_s)

    def at_its_time(judgement: TracedJudgement) -> TracedJudgement:
        return replace(judgement, sent_on=tuple(replace(place, at=times.get(place)) for place in judgement.sent_on))

    events = tuple(replace(event, judgements=tuple(map(at_its_time, event.judgements))) for event in trace.events)
    return replace(trace, events=events)


def kafka_times(bootstrap: str, places: Iterable[SentOn], patience_s: float = 5.0) -> dict[SentOn, datetime]:
    """Kafka's time of each of these records, but of those that are gone, or could not be read within the patience."""
    consumer = Consumer(
        {
            **librdkafka_settings(bootstrap),
            "group.id": "portalbus-trace",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",  # a record that is gone is said to be, at once
            "log_level": 2,
        }
    )
    deadline = time.monotonic() + patience_s
    found: dict[SentOn, datetime] = {}
    try:
        for place in places:
            consumer.assign([TopicPartition(place.topic, place.partition, place.offset)])
            at = _time_of(consumer, place, deadline if not found else min(deadline, time.monotonic() + EACH_S))
            if at is not None:
                found[place] = at
    finally:
        consumer.close()
    return found


def _time_of(consumer: Consumer, place: SentOn, deadline: float) -> datetime | None:
    while (left := deadline - time.monotonic()) > 0:
        message = consumer.poll(left)
        if message is None:
            return None
        if (message.topic(), message.partition()) != (place.topic, place.partition):
            continue  # it was on its way when the place before was asked for
        if message.error() or message.offset() != place.offset:
            return None
        return datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
    return None
