"""Relays of the simulation: the product's sender and messages, on the simulated broker."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from confluent_kafka import KafkaException

from portalbus.schemas.topics import RELAY_POSITION
from portalbus.streams.judgement.docket import Entry
from portalbus.streams.judgement.notice import Notice
from portalbus.streams.relaying.outgoing import Judged, Outgoing, Told
from portalbus.streams.relaying.sender import Sender
from simulator.broker import CENTRE_SCHEMAS, Broker, SimProducer
from simulator.store import Store

BATCH = 7


@dataclass
class SimRelay:
    """One relay process. The lock in the database is not modelled: it saves work, and keeps no promise."""

    name: str
    broker: Broker
    store: Store
    relayed: list[int]
    sender: Sender | None = None
    position: int = 0
    unremembered: list[int] = field(default_factory=list)
    frozen: bool = False

    def step(self, *, killed_after_commit: bool = False) -> str:
        """Opens, or sends a batch, or remembers what it has sent; says which. It ends where the product ends."""
        if self.sender is None:
            self.sender = Sender("", CENTRE_SCHEMAS)
            self.sender.open()
            self.position = read_position(self.broker)
            return f"opened at {self.position}"
        if self.unremembered:
            self.relayed += self.unremembered
            self.unremembered = []
            return "remembered"
        batch = outgoing(self.store, self.position, BATCH)
        if not batch:
            return "idle"
        SimProducer.dies_after_commit = killed_after_commit
        try:
            places = self.sender.send(batch)
        except KafkaException as error:
            self.end()
            return f"ended: {error.args[0].name()}"
        self.position = batch[-1].position
        self.unremembered = [place.position for place in places]
        return f"sent {len(batch)}"

    def end(self) -> None:
        """Ends at once, and starts anew when it is its turn."""
        self.sender, self.unremembered, self.frozen = None, [], False


def read_position(broker: Broker) -> int:
    """The last committed record of the position topic."""
    log = broker.topics.get((RELAY_POSITION, 0), [])
    return int(log[-1].value) if log else 0


def outgoing(store: Store, after: int, limit: int) -> list[Outgoing]:
    """What the positions after this one hold, as `next_outgoing` reads it."""
    rows = enumerate(store.order[after : after + limit], after + 1)
    return [_judged(what, at) if isinstance(what, Entry) else _told(position, what) for position, (what, at) in rows]


def _told(position: int, notice: Notice) -> Told:
    record = notice.record
    return Told(position, notice.topic, notice.key, type(record).__name__, record.model_dump_json())


def _judged(entry: Entry, judged_at: datetime) -> Judged:
    head, decision = entry.envelope, entry.decision
    return Judged(
        entry.position,
        entry.agency,
        entry.lane_offset,
        head.id if head else None,
        entry.event_type,
        head.portal if head else None,
        head.epoch if head else None,
        head.sequence if head else None,
        entry.key,
        decision.status.value,
        decision.final,
        decision.rule,
        decision.path,
        dict(decision.params),
        judged_at,
        entry.canonical,
        head.occurred_at if head else None,
    )
