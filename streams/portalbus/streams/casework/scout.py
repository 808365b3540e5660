"""The scout: reads the lanes ahead of judgement, for what is urgent alone.

A worker judges each lane in order; behind a hundred thousand events an urgent case would wait its turn. The scout
reads the same lanes, steps over everything that is not urgent, and has what is folded into casework at once: it is on
the list of whoever has to acknowledge it, and its clock runs. It is judged in its turn all the same; should it be
refused then, it goes from the list. Order and exactly-once of the ledger know nothing of the scout.

Where much waits on a lane the scout leaps close to its end, so that what came just now and what comes is found at once;
what it leapt over it looks through afterwards, a slice at a time, the ends first all the while.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from portalbus.schemas.codec import Decoded
from portalbus.schemas.directory import AgencyDirectory
from portalbus.schemas.kafka_settings import librdkafka_settings
from portalbus.schemas.models import FeedbackReceived
from portalbus.schemas.rules import Facts, findings
from portalbus.schemas.topics import agency_of, is_lane, lane_of
from portalbus.streams.casework.ahead import Ahead, Sighting
from portalbus.streams.casework.backlog import Backlog
from portalbus.streams.casework.urgency import UrgencyProbe
from portalbus.streams.decoding.contents import Reads
from portalbus.streams.judgement.docket import Content

log = structlog.get_logger(__name__)

FETCH = 5_000
WAIT_SECONDS = 0.2
SAVE_SECONDS = 2.0
LANES_SECONDS = 5.0
METADATA_SECONDS = 10.0
LEAP = 20_000
"""Records on a lane, half a second's worth of looking: where more than twice as many wait, the scout leaps to the last
so many."""
MOST_KEPT = 10_000
"""Steps kept until what was leapt over is looked through, where the receipt of their case may lie."""


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
        leap: int = LEAP,
    ) -> None:
        self._leap = leap
        self._ahead = ahead
        self._probe = probe
        self._decoder = decoder
        self._directory = directory
        self._clock = clock
        self._offsets: dict[str, int] = {}
        self._saved: dict[str, int] = {}
        self._kept: list[Sighting] = []
        reads = {
            **librdkafka_settings(bootstrap),
            "group.id": "portalbus-scout",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
            "max.partition.fetch.bytes": 8_388_608,  # one lane with a long queue is read in few round trips
            "queued.max.messages.kbytes": 65_536,
        }
        self._consumer = Consumer(reads)
        self._backlog = Backlog(Consumer(reads | {"queued.max.messages.kbytes": 16_384}))

    def run(self, stop: threading.Event) -> None:
        """Reads until told to stop."""
        save_at = lanes_at = 0.0
        try:
            while not stop.is_set():
                now = time.monotonic()
                if now >= lanes_at:
                    self._refresh_lanes()
                    lanes_at = now + LANES_SECONDS
                wait = 0.0 if self._backlog else WAIT_SECONDS
                self.look(self._consumer.consume(FETCH, wait))
                if self._backlog:
                    self.look_back()
                if now >= save_at:
                    self._save([])
                    save_at = now + SAVE_SECONDS
        finally:
            self._consumer.close()
            self._backlog.close()

    def look(self, messages: Sequence[Message]) -> int:
        """Looks through fetched records; returns how many urgent ones were folded."""
        ends: dict[str, int] = {}
        urgent = self._urgent(messages, ends)
        self._offsets |= {agency_of(lane): end for lane, end in ends.items()}
        folded = self._save(self._sightings(urgent)) if urgent else 0
        for lane, end in ends.items():
            self._leap_ahead(lane, end)
        return folded

    def look_back(self) -> int:
        """Looks through some of what was leapt over; returns how many urgent ones were folded."""
        urgent = self._urgent(self._backlog.read(_raise_if_final), {})
        sightings = self._sightings(urgent) if urgent else []
        if not self._backlog:  # receipts that lay in it are known now: steps that came before are tried again
            sightings, self._kept = sorted([*sightings, *self._kept], key=lambda one: one.heard), []
        return self._save(sightings) if sightings else 0

    def _urgent(self, messages: Sequence[Message], ends: dict[str, int]) -> list[Message]:
        """The urgent ones; notes where the lanes were read to."""
        urgent: list[Message] = []
        is_urgent = self._probe.is_urgent
        for message in messages:
            if (error := message.error()) is not None:
                _raise_if_final(error)
                continue
            ends[message.topic() or ""] = (message.offset() or 0) + 1
            if is_urgent(message.value()):
                urgent.append(message)
        return urgent

    def _leap_ahead(self, lane: str, place: int) -> None:
        _, end = self._consumer.get_watermark_offsets(TopicPartition(lane, 0), cached=True)
        landing = end - self._leap
        if landing - place <= self._leap:  # a leap that saves little is none
            return
        self._consumer.seek(TopicPartition(lane, 0, landing))
        self._offsets[agency_of(lane)] = landing
        self._backlog.add(lane, place, landing)
        log.info("scout.leapt", lane=lane, begin=place, end=landing)

    def _save(self, sightings: Sequence[Sighting]) -> int:
        through = {agency: self._backlog.begin(lane_of(agency), offset) for agency, offset in self._offsets.items()}
        moved = {agency: offset for agency, offset in through.items() if self._saved.get(agency) != offset}
        if not moved and not sightings:
            return 0
        folded = self._ahead.fold(sightings, moved)
        self._saved |= moved
        if self._backlog:
            steps = [one for one in sightings if not isinstance(one.event.payload, FeedbackReceived)]
            self._kept = [*self._kept, *steps][-MOST_KEPT:]
        return folded

    def _sightings(self, urgent: Sequence[Message]) -> list[Sighting]:
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
