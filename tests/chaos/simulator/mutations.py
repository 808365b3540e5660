"""Defences of the product, each switched off from outside: the simulator has to see the difference."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any
from unittest.mock import patch

from portalbus.producers import database
from portalbus.producers.outbox import Outbox
from portalbus.schemas.codec import read
from portalbus.streams.judgement.docket import Docket, Item
from portalbus.streams.ledger import clock as ledger_clock
from portalbus.streams.ledger import ledger
from portalbus.streams.ledger.clock import LedgerClock
from portalbus.streams.ledger.hearing import HeardLanes
from simulator import relays, workers
from simulator.store import Store
from simulator.workers import SimWorker


@dataclass(frozen=True)
class Mutation:
    """How a defence is switched off, and the faults that it defends against."""

    switch_off: Callable[[], Any]
    faults: frozenset[str]


@contextmanager
def without_compare_and_set() -> Iterator[None]:
    """Whatever a worker brings is new, wherever the ledger stands."""

    def everything(items: Iterable[Item], before: Mapping[str, int]) -> tuple[list[Item], dict[str, int]]:
        found = list(items)
        return found, {**before, **{item.record.agency: item.record.offset + 1 for item in found}}

    with patch.object(ledger, "_what_is_new", everything):
        yield


@contextmanager
def without_seek_to_ledger() -> Iterator[None]:
    """A worker reads on where the consumer group says."""

    def as_the_group_says(worker: SimWorker) -> dict[str, int]:
        return worker.group_offsets

    with patch.object(workers, "positions", as_the_group_says):
        yield


@contextmanager
def without_unique_event_id() -> Iterator[None]:
    """Nobody remembers which ids were there: neither the judge nor the index in the database."""
    hear = Docket.hear

    def forgetful(docket: Docket, items: Iterable[Item]) -> None:
        for item in items:
            docket.history.event_ids.clear()
            hear(docket, [item])

    with patch.object(Docket, "hear", forgetful), patch.object(Store, "claims_are_unique", False):
        yield


@contextmanager
def without_catch_in_handler() -> Iterator[None]:
    """What cannot be read is raised, out of the handler."""

    with patch.object(workers, "content_of", read):
        yield


@contextmanager
def without_outbox_fsync() -> Iterator[None]:
    """The outbox commits as SQLite does by default in this mode: a power cut may undo the last commits."""
    connect = database._connect

    def hasty(path: Path, durable: bool) -> sqlite3.Connection:
        connection = connect(path, durable)
        connection.execute("pragma synchronous = normal")
        return connection

    with patch.object(database, "_connect", hasty):
        yield


@contextmanager
def without_high_water_mark() -> Iterator[None]:
    """An outbox that is shorter than what was acknowledged is opened as if nothing were wrong."""
    with patch.object(Outbox, "_check_mark", lambda *_: None):
        yield


@contextmanager
def without_position_topic() -> Iterator[None]:
    """A relay goes on behind what the database remembers of its predecessor, not behind what was sent."""
    step = relays.SimRelay.step

    def as_remembered(relay: relays.SimRelay, **how: Any) -> str:
        opens = relay.sender is None
        said = step(relay, **how)
        if opens:
            relay.position = max(relay.relayed, default=0)
        return said

    with patch.object(relays.SimRelay, "step", as_remembered):
        yield


@contextmanager
def without_database_clock() -> Iterator[None]:
    """A worker believes the clock of its machine."""
    machine = vars(ledger_clock)  # its `datetime` is the simulator's
    with patch.object(LedgerClock, "now", lambda _: machine["datetime"].now(UTC)):
        yield


@contextmanager
def without_hearing() -> Iterator[None]:
    """Who has waited long enough is refused, whatever lies on lanes that are not read yet."""
    with patch.object(ledger, "heard_lanes", lambda _, now: HeardLanes({}, now)):
        yield


MUTATIONS = {
    "compare-and-set": Mutation(without_compare_and_set, frozenset({"commit-unheard", "worker-frozen"})),
    "seek-to-ledger": Mutation(without_seek_to_ledger, frozenset({"worker-killed", "rebalance"})),
    "unique-event-id": Mutation(without_unique_event_id, frozenset({"connection-broken", "portal-killed"})),
    "catch-in-handler": Mutation(without_catch_in_handler, frozenset({"rubbish"})),
    "outbox-fsync": Mutation(without_outbox_fsync, frozenset({"power-cut"})),
    "high-water-mark": Mutation(without_high_water_mark, frozenset({"backup-restored"})),
    "database-clock": Mutation(without_database_clock, frozenset({"worker-clock", "record-lost"})),
    "hearing": Mutation(without_hearing, frozenset({"centre-away"})),
    "position-topic": Mutation(without_position_topic, frozenset({"relay-killed", "relay-dies-after-commit"})),
}
"""Every defence that can be switched off, by its name."""
