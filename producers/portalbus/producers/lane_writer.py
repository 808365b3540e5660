"""One librdkafka producer on one lane; after any error it is thrown away, and a new one starts where it got to."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Message, Producer

from portalbus.producers.settings import Settings
from portalbus.schemas.kafka_settings import ONE_REQUEST_AT_A_TIME, librdkafka_settings

FIXED: dict[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    **ONE_REQUEST_AT_A_TIME,
    # Never given up: a message that timed out may still be written, and what follows it would overtake it.
    "message.timeout.ms": 0,
    # The same partition as Java's producers choose.
    "partitioner": "murmur2_random",
    "allow.auto.create.topics": False,
    # The outbox is the queue; this one only covers a round trip.
    "queue.buffering.max.messages": 10_000,
    "queue.buffering.max.kbytes": 65_536,
}
DEFAULTS: dict[str, Any] = {
    "linger.ms": 1,
    "compression.type": "lz4",
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1_000,
    "topic.metadata.propagation.max.ms": 5_000,
    "topic.metadata.refresh.fast.interval.ms": 250,
    "socket.keepalive.enable": True,
    "message.max.bytes": 1_048_576,
}
CLOSE_SECONDS = 2.0
NO_CLOCK_MS = 86_400_000
"""Who stamps a time of the first day of 1970 has no clock: the broker in the process of a test says 1,234 ms."""

Headers = list[tuple[str, str | bytes | None]]
Answer = Callable[[KafkaError | None], None]

logging.getLogger("portalbus.librdkafka").addHandler(logging.NullHandler())


class LaneWriter:
    """Writes to one topic. `on_error` hears what is wrong with the connection, `on_written` when by its own clock the
    broker wrote a record (milliseconds since 1970); all callbacks run inside `poll`.

    Raises ValueError for librdkafka properties that would break a promise or do not exist.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        on_error: Callable[[KafkaError], None],
        on_written: Callable[[int], None] | None = None,
    ) -> None:
        self._topic = topic
        self._on_written = on_written
        self._producer = Producer(
            producer_config(settings) | {"error_cb": on_error, "logger": logging.getLogger("portalbus.librdkafka")}
        )

    def send(self, key: bytes, value: bytes, headers: Headers, answered: Answer) -> bool:
        """Hands one record over; False when the queue is full for the moment."""
        try:
            # One callback a record: the order of the answers is what makes the delivered prefix.
            self._producer.produce(self._topic, value, key, headers=headers, on_delivery=partial(self._heard, answered))
        except BufferError:
            return False
        except KafkaException as error:
            answered(error.args[0])
        return True

    def _heard(self, answered: Answer, error: KafkaError | None, message: Message) -> None:
        if error is None and self._on_written is not None:
            kind, stamp_ms = message.timestamp()
            if kind == TIMESTAMP_LOG_APPEND_TIME and stamp_ms > NO_CLOCK_MS:
                self._on_written(stamp_ms)
        answered(error)

    def poll(self, seconds: float) -> None:
        """Serves callbacks; returns at the first one, or when the time is up."""
        self._producer.poll(seconds)

    def drain(self, seconds: float) -> None:
        """Waits until everything handed over is answered, at most so long."""
        self._producer.flush(seconds)

    def close(self) -> None:
        """Gives up what is not acknowledged, and lets go of the connection. Late answers are still served."""
        self._producer.purge()
        self._producer.flush(CLOSE_SECONDS)

    def leave_behind(self) -> None:
        """In a forked child: the producer's threads are not here, so even freeing it would wait for ever."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._producer))


def producer_config(settings: Settings) -> dict[str, Any]:
    """The producer's properties. Raises ValueError for one that may not be changed."""
    taken = sorted(FIXED.keys() & settings.kafka.keys())
    if taken:
        raise ValueError(f"kafka: {', '.join(taken)} may not be set, the promises rest on it")
    return {
        "client.id": f"portalbus/{settings.source}",
        **DEFAULTS,
        **librdkafka_settings(settings.bootstrap, settings.kafka),
        **FIXED,
    }
