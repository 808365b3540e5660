"""The scout: reads the lanes ahead of judgement, for what is urgent alone.

A worker judges each lane in order; behind a hundred thousand events an urgent case would wait its turn. The scout
reads the same lanes, steps over everything that is not urgent, and has what is folded into casework at once: it is on
the list of whoever has to acknowledge it, and its clock runs. It is judged in its turn all the same; should it be
refused then, it goes from the list. Order and exactly-once of the ledger know nothing of the scout.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Protocol

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from portalbus.schemas.codec import Decoded
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.rules import Facts, findings
from portalbus.schemas.topics import agency_of, is_lane, lane_of
from portalbus.streams.casework.ahead import Ahead, Sighting
from portalbus.streams.casework.urgency import UrgencyProbe
from portalbus.streams.judgement.docket import Content

log = structlog.get_logger(__name__)

FETCH = 5_000
WAIT_SECONDS = 0.2
SAVE_SECONDS = 2.0
LANES_SECONDS = 5.0
METADATA_SECONDS = 10.0


class Reads(Protocol):
    """What decodes values, whatever is in them."""

    def read(self, values: Sequence[bytes | None]) -> list[Content]:
        """What each value says."""


class Scout:
    """Looks through the lanes until told to stop. Raises KafkaException, psycopg.Error."""

    def __init__(
        self,
        bootstrap: str,
        ahead: Ahead,
        probe: UrgencyProbe,
        decoder: Reads,
        directory: AgencyDirectory,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ahead = ahead
        self._probe = probe
        self._decoder = decoder
        self._directory = directory
        self._clock = clock
        self._offsets: dict[str, int] = {}
        self._saved: dict[str, int] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "portalbus-scout",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "max.partition.fetch.bytes": 8_388_608,  # one lane with a long queue is read in few round trips
                "queued.max.messages.kbytes": 65_536,
            }
        )

    def run(self, stop: threading.Event) -> None:
        """Reads until told to stop."""
        save_at = lanes_at = 0.0
        try:
            while not stop.is_set():
                now = time.monotonic()
                if now >= lanes_at:
                    self._refresh_lanes()
                    lanes_at = now + LANES_SECONDS
                self.look(self._consumer.consume(FETCH, WAIT_SECONDS))
                if now >= save_at:
                    self._save([])
                    save_at = now + SAVE_SECONDS
        finally:
            self._consumer.close()

    def look(self, messages: Sequence[Message]) -> int:
        """Looks through fetched records; returns how many urgent ones were folded."""
        urgent: list[Message] = []
        ends: dict[str, int] = {}
        is_urgent = self._probe.is_urgent
        for message in messages:
            if (error := message.error()) is not None:
                _raise_if_final(error)
                continue
            ends[message.topic() or ""] = (message.offset() or 0) + 1
            if is_urgent(message.value()):
                urgent.append(message)
        self._offsets |= {agency_of(lane): end for lane, end in ends.items()}
        return self._save(urgent) if urgent else 0

    def _save(self, urgent: Sequence[Message]) -> int:
        sightings = [] if not urgent else list(self._sightings(urgent))
        moved = {agency: offset for agency, offset in self._offsets.items() if self._saved.get(agency) != offset}
        if not moved and not sightings:
            return 0
        folded = self._ahead.fold(sightings, moved)
        self._saved |= moved
        return folded

    def _sightings(self, urgent: Sequence[Message]) -> Collection[Sighting]:
        contents = self._decoder.read([message.value() for message in urgent])
        return [
            sighting
            for message, content in zip(urgent, contents, strict=True)
            if (sighting := self._sighting(message, content)) is not None
        ]

    def _sighting(self, message: Message, content: Content) -> Sighting | None:
        """The event, unless it cannot be accepted: what breaks a rule has to wait for its verdict."""
        agency, offset = agency_of(message.topic() or ""), message.offset() or 0
        if not isinstance(content, Decoded) or content.event.envelope.agency != agency:
            return None
        if any(findings(content.event, Facts(self._directory, self._clock()))):
            return None
        _, milliseconds = message.timestamp()
        heard = datetime.fromtimestamp(milliseconds / 1000, UTC)
        return Sighting(agency, offset, heard, content.event)

    def _refresh_lanes(self) -> None:
        topics = self._consumer.list_topics(timeout=METADATA_SECONDS).topics
        new = [agency_of(name) for name in topics if is_lane(name) and agency_of(name) not in self._offsets]
        if new:
            starts = self._ahead.starts(new)
            for agency in new:
                self._offsets[agency] = self._saved[agency] = starts.get(agency, 0)
            places = [TopicPartition(lane_of(agency), 0, self._offsets[agency]) for agency in new]
            self._consumer.incremental_assign(places)
            log.info("scout.lanes", lanes=len(self._offsets), new=len(new))


def _raise_if_final(error: KafkaError) -> None:
    """What librdkafka tries again by itself is no news. Raises KafkaException."""
    if error.code() != KafkaError._PARTITION_EOF and not error.retriable():
        raise KafkaException(error)
