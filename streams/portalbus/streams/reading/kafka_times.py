"""When Kafka stored the records that the relay sent: the only times of a trace that do not stand in the ledger."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from confluent_kafka import Consumer, TopicPartition

from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.streams.reading.tracing import SentOn, Trace, TracedJudgement

MOST_LOOKED_UP = 40
OTHERS_S = 1.0
"""Once one partition has answered, the others are waited for so long: a topic may have been deleted."""

Part = tuple[str, int]


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
            "fetch.wait.max.ms": 10,  # a fetch that waits for more holds up what is asked for next
            "log_level": 2,
        }
    )
    deadline = time.monotonic() + patience_s
    rows: defaultdict[Part, list[SentOn]] = defaultdict(list)
    for place in places:
        rows[place.topic, place.partition].append(place)
    found: dict[SentOn, datetime] = {}
    try:
        while rows and time.monotonic() < deadline:
            asked = {part: row.pop(0) for part, row in rows.items()}
            answers = _answers(consumer, asked, deadline)
            found |= {asked[part]: at for part, at in answers.items() if at is not None}
            rows = defaultdict(list, {part: row for part, row in rows.items() if row and part in answers})
    finally:
        consumer.close()
    return found


def _answers(consumer: Consumer, asked: Mapping[Part, SentOn], deadline: float) -> dict[Part, datetime | None]:
    """The time of one record of each partition, None for one that is gone; a partition that is silent is left out."""
    consumer.assign([TopicPartition(place.topic, place.partition, place.offset) for place in asked.values()])
    answers: dict[Part, datetime | None] = {}
    until = deadline
    while len(answers) < len(asked) and (left := until - time.monotonic()) > 0:
        message = consumer.poll(left)
        if message is None:
            break
        part = message.topic() or "", message.partition() or 0
        if part in answers or part not in asked:
            continue
        is_it = not message.error() and message.offset() == asked[part].offset
        answers[part] = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC) if is_it else None
        until = min(deadline, time.monotonic() + OTHERS_S)
    return answers
