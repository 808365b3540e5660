"""A bus inside the process: what a portal publishes can be read back, and the centre's answers can be given."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from portalbus.producers.portal import Portal
from portalbus.producers.testing.registry import InProcessRegistry
from portalbus.schemas import avro_files
from portalbus.schemas.catalogue import catalogue
from portalbus.schemas.codec import WriterSchemas, decode, encode_record
from portalbus.schemas.models import Envelope, Event, Payload, Verdict, VerdictStatus
from portalbus.schemas.topics import lane_of, verdicts_of

PATIENCE_SECONDS = 10.0
WITHOUT_RULE = {VerdictStatus.ACCEPTED: "event.accepted", VerdictStatus.DUPLICATE: "event.duplicate"}
"""What the centre says when there is nothing to refuse."""

QUIET = logging.getLogger("portalbus.testing.librdkafka")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False


@dataclass(frozen=True)
class PublishedEvent:
    """One event as it stands on the lane."""

    envelope: Envelope
    payload: Payload
    key: str
    headers: dict[str, str]

    @property
    def sequence(self) -> int:
        """Its place in the order of its source."""
        return self.envelope.sequence


class InProcessBus:
    """A broker and a registry in this process, for tests.

    The broker is librdkafka's mock cluster: it speaks Kafka on a port of this machine, keeps everything in memory,
    and is gone when this is closed. It judges nothing: say with `decide` what the centre would.
    """

    def __init__(self) -> None:
        # Whoever asks for a mock cluster gets a client that is the cluster, too: it lives as long as this does.
        self._cluster = Producer({"bootstrap.servers": "-", "test.mock.num.brokers": 1, "log_level": 0}, logger=QUIET)
        brokers = self._cluster.list_topics(timeout=PATIENCE_SECONDS).brokers
        self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers.values())
        self._registry = InProcessRegistry()
        self._writers = WriterSchemas(
            {
                number: (raw["name"], raw)
                for number, raw in self._registry.schemas.items()
                if raw["name"] in avro_files.LANE_TYPES
            }
        )
        self._portals: list[Portal] = []
        self._lanes: list[str] = []

    @property
    def registry_url(self) -> str:
        """The registry's base address."""
        return self._registry.url

    def open_lane(self, agency: str) -> None:
        """Makes the topics of an agency, if they are not there yet."""
        if agency not in self._lanes:
            for topic in (lane_of(agency), verdicts_of(agency)):
                self._make_topic(topic)
            self._lanes.append(agency)

    def portal(self, outbox: Path, agency: str = "H26", portal: str = "www", **options: Any) -> Portal:
        """A portal that publishes here; it is closed with the bus. `options` are those of `Portal`."""
        self.open_lane(agency)
        made = Portal(
            agency,
            portal,
            bootstrap=self.bootstrap,
            registry_url=self.registry_url,
            outbox=outbox,
            **{"canary": 0.0, **options},
        )
        self._portals.append(made)
        return made

    def published(
        self, agency: str = "H26", *, at_least: int = 0, within: float = PATIENCE_SECONDS
    ) -> list[PublishedEvent]:
        """What stands on an agency's lane, by source and sequence.

        Waits until there are `at_least` so many, and until everything that this bus's portals have published is
        there: so an empty list says that nothing was. Raises TimeoutError when they do not come `within` so many
        seconds, with what the portals say of it.
        """
        self.open_lane(agency)
        deadline = time.monotonic() + within
        while True:
            lag = [portal for portal in self._portals if portal.status().undelivered]
            found = self._read(lane_of(agency))
            if len(found) >= at_least and not lag:
                return found
            if time.monotonic() > deadline:
                why = "".join(f"; {portal!r}: {portal.status().last_error or 'nothing to report'}" for portal in lag)
                raise TimeoutError(f"{len(found)} events on {lane_of(agency)} within {within:g} s, not {at_least}{why}")
            time.sleep(0.02)

    def decide(
        self,
        event: PublishedEvent,
        status: VerdictStatus = VerdictStatus.ACCEPTED,
        rule: str | None = None,
        path: str | None = None,
        **params: str,
    ) -> Verdict:
        """Says on the agency's verdict topic what the centre would, and returns it.

        `rule` is an id of the rules catalogue; its texts come with the verdict, `params` filled in. Raises KeyError
        for a rule that does not exist, ValueError when a refusal is given none.
        """
        rule = rule or WITHOUT_RULE.get(status)
        if rule is None:
            raise ValueError(f"{status.value} needs a rule, for example 'case.already-resolved'")
        known, head = catalogue()[rule], event.envelope
        verdict = Verdict(
            agency=head.agency,
            lane=lane_of(head.agency),
            offset=head.sequence - 1,
            event_id=head.id,
            event_type=event.payload.event_type,
            portal=head.portal,
            epoch=head.epoch,
            sequence=head.sequence,
            key=event.key,
            status=status,
            final=status not in (VerdictStatus.WAITING, VerdictStatus.PARKED),
            rule=rule,
            path=path,
            message=known.message(params),
            mend=known.mend(params),
            judged_at=datetime.now(UTC),
        )
        value = encode_record(verdict, "Verdict", self._registry.ids["Verdict"])
        headers: list[tuple[str, str | bytes | None]] = [("ce_type", f"{avro_files.NAMESPACE}.Verdict".encode())]
        self._cluster.produce(verdicts_of(head.agency), value, head.id.encode(), partition=0, headers=headers)
        if self._cluster.flush(PATIENCE_SECONDS):
            raise TimeoutError("the broker in this process does not answer")
        return verdict

    def close(self) -> None:
        """Closes the portals, then the registry; the broker ends with this object."""
        portals, self._portals = self._portals, []
        for portal in portals:
            portal.close(0)
        self._registry.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make_topic(self, topic: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._cluster.list_topics(topic, timeout=PATIENCE_SECONDS).topics[topic].error is not None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the broker in this process does not make {topic}")
            time.sleep(0.02)

    def _read(self, topic: str) -> list[PublishedEvent]:
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "portalbus-testing",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "log_level": 0,
            },
            logger=QUIET,
        )
        try:
            parts = consumer.list_topics(topic, timeout=PATIENCE_SECONDS).topics[topic].partitions
            # The mock cluster has four partitions for each topic, whatever the contract says.
            consumer.assign([TopicPartition(topic, number, 0) for number in parts])
            found: list[PublishedEvent] = []
            ended: set[int] = set()
            while len(ended) < len(parts):
                for message in consumer.consume(1_000, 0.1):
                    if message.error() is not None:
                        ended.add(message.partition() or 0)
                    elif (event := self._event(message)) is not None:
                        found.append(event)
        finally:
            consumer.close()
        return sorted(found, key=lambda event: (event.envelope.source, event.envelope.epoch, event.sequence))

    def _event(self, message: Message) -> PublishedEvent | None:
        content = decode(message.value(), self._writers)
        if not isinstance(content, Event):
            return None  # a manifest or a canary: the SDK sends them by itself
        headers: Any = message.headers() or []
        key = message.key() or b""
        return PublishedEvent(
            content.envelope,
            content.payload,
            key.decode() if isinstance(key, bytes) else key,
            {name: (value or b"").decode() for name, value in headers},
        )
