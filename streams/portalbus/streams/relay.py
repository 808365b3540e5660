"""The relay process: judgements and notices out. `python -m portalbus.streams.relay --help`."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import psycopg
import structlog
from confluent_kafka import KafkaException
from psycopg import Connection

from portalbus.schemas.avro_files import CENTRE_TYPES
from portalbus.schemas.registration import SchemaIds
from portalbus.schemas.topics import RELAY_POSITION, VERDICT_PREFIX
from portalbus.schemas.tracing import open_spans
from portalbus.streams.ledger.behind import tell_missing
from portalbus.streams.ledger.database import BOUNDED, BY_KEY, CalledOff, connect
from portalbus.streams.ledger.hindered import once_unhindered
from portalbus.streams.ledger.leading import leading
from portalbus.streams.ledger.locks import AdvisoryLock
from portalbus.streams.ledger.order import CHANNEL, forget_news, free_position
from portalbus.streams.logging_setup import log_json
from portalbus.streams.metrics import defined
from portalbus.streams.metrics.ledger_state import LEDGER, LedgerState
from portalbus.streams.metrics.measuring import Measures
from portalbus.streams.relaying.endless import Endless, endless
from portalbus.streams.relaying.outgoing import last_relayed, next_outgoing
from portalbus.streams.relaying.position import read_position
from portalbus.streams.relaying.sender import Place, Sender, nothing_known
from portalbus.streams.relaying.sent_before import after_a_restoration, sent_before
from portalbus.streams.schema_waiting import wait_for_schemas
from portalbus.streams.settings import StreamSettings
from portalbus.streams.spans import tell_relayed

log = structlog.get_logger(__name__)


BATCH = 500
OPTIONS = f"{BOUNDED} {BY_KEY}"
IDLE_SECONDS = 1.0
GATHER_SECONDS = 0.05
"""Rest after a small batch: a Kafka transaction costs the brokers the same for one message as for hundreds."""
EXIT_RESTART = 70


class LedgerIsOlder(Exception):
    """More was sent than the ledger holds: a backup was put back by other means than `portalbus restore`."""

    MEND = "stop the workers, run `portalbus restore --settle`, and start them again"

    def __init__(self, sent_up_to: int) -> None:
        super().__init__(f"sent up to {sent_up_to}, which the ledger has not reached")
        self.sent_up_to = sent_up_to


class PositionLost(Exception):
    """The position topic says less than what is known to be sent: it was lost, or made anew."""

    MEND = (
        "put central.relay-position back; or say with --relay-after up to which position the topics have everything"
        " (the largest portalbus-position in their newest records; 0 sends all of the ledger again)"
    )

    def __init__(self, topic_says: int, ledger_says: int) -> None:
        super().__init__(f"sent up to {topic_says}, says the topic, and the ledger knows of {ledger_says}")
        self.topic_says, self.ledger_says = topic_says, ledger_says


def main() -> int:
    """Runs the relay until it is told to stop; 70 asks the supervisor to start it anew."""
    settings = StreamSettings.parse("portalbus-relay")
    log_json("relay")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    measures = Measures(defined.Process.RELAY, *(metric for metric, _ in LEDGER))
    measures.collect_from(LedgerState(settings.database_url))
    measures.serve(settings.metrics_port)
    try:
        schemas = wait_for_schemas(settings, _centre_schemas, stop)
        if schemas is not None:
            _lead(settings, schemas, stop, measures)
    except LedgerIsOlder as error:
        log.error("relay.ledger-is-older", sent_up_to=error.sent_up_to, mend=LedgerIsOlder.MEND)
        return EXIT_RESTART
    except PositionLost as error:
        log.error(
            "relay.position-lost", topic_says=error.topic_says, ledger_says=error.ledger_says, mend=PositionLost.MEND
        )
        return EXIT_RESTART
    except CalledOff:
        log.info("relay.left-to-the-next-one")
    except (KafkaException, psycopg.Error) as error:
        log.error("relay.restart", error=type(error).__name__, detail=_name(error))
        tell_missing(error, settings.database_url)
        return EXIT_RESTART
    log.info("relay.stopped")
    return 0


def _lead(settings: StreamSettings, schemas: Mapping[str, int], stop: threading.Event, measures: Measures) -> None:
    """Sends until told to stop, once this process is the leader."""
    with (
        connect(settings.database_url, application="relay", options=OPTIONS, autocommit=True) as connection,
        leading(connection, AdvisoryLock.RELAY_LEADER, stop, settings.database_url) as leads,
    ):
        if leads:
            connection.execute(f"listen {CHANNEL}")
            _relay(settings, connection, schemas, stop, measures)


def _relay(
    settings: StreamSettings,
    connection: Connection[Any],
    schemas: Mapping[str, int],
    stop: threading.Event,
    measures: Measures,
) -> None:
    # Should a frozen predecessor wake up, it can send nothing more: the transactional id is taken now.
    sender = Sender(settings.bootstrap, schemas, stop.is_set)
    sender.open()
    position = _position(settings, connection, sender)
    log.info("relay.started", position=position)
    measures.show(defined.RELAY_POSITION, position)
    known = partial(sent_before, connection) if after_a_restoration(connection) else nothing_known
    spans = open_spans("relay")
    while not stop.is_set():
        forget_news(connection)
        batch = once_unhindered(partial(next_outgoing, connection, position, BATCH), "relay", stop)
        if not batch:
            _wait(connection)
            continue
        began, began_ns = time.perf_counter(), time.time_ns()
        places = sender.send(batch, known)
        position = batch[-1].position
        _measure(measures, places, position, time.perf_counter() - began)
        _remember(connection, places, stop)
        if spans:
            tell_relayed(spans, batch, began_ns)
        if len(batch) < BATCH:
            stop.wait(GATHER_SECONDS)
    if spans:
        spans.close()


def _position(settings: StreamSettings, connection: Connection[Any], sender: Sender) -> int:
    """Where to go on: what the position topic says, unless that cannot be. Raises LedgerIsOlder and PositionLost."""
    found = endless(settings.bootstrap)  # first: it waits until what was ended a moment ago can be seen to have ended
    position, remembered = read_position(settings.bootstrap), last_relayed(connection)
    if found:
        position = _past_endless(found, sender, position, remembered)
    if position < remembered:
        if settings.relay_after is None:
            raise PositionLost(position, remembered)
        log.warning("relay.position-given", topic_says=position, ledger_says=remembered, after=settings.relay_after)
        position = settings.relay_after
    if position >= free_position(connection):
        raise LedgerIsOlder(position)
    return position


def _past_endless(found: Sequence[Endless], sender: Sender, position: int, remembered: int) -> int:
    """Where to go on, past transactions that the broker has forgotten to end.

    The ledger remembers a transaction once the broker has called it committed. What the next one commits in the same
    partition is that one's end as well; so only what nobody remembers has to be ended here, before it is sent again.
    """
    undone = [part for part in found if part.position > max(position, remembered)]
    log.warning(
        "relay.transaction-without-end",
        partitions=[f"{part.topic}-{part.partition}" for part in found],
        undone=[f"{part.topic}-{part.partition}" for part in undone],
    )
    if undone:
        sender.undo(undone)
    committed = any(part.topic == RELAY_POSITION and part not in undone for part in found)
    return remembered if committed else position


def _measure(measures: Measures, places: list[Place], position: int, seconds: float) -> None:
    topics = Counter("verdict" if place.topic.startswith(VERDICT_PREFIX) else place.topic for place in places)
    for topic, count in topics.items():
        measures.count(defined.RELAYED, count, topic)
    measures.show(defined.RELAY_POSITION, position)
    measures.observe(defined.RELAY_SECONDS, seconds)


def _remember(connection: Connection[Any], places: list[Place], stop: threading.Event) -> None:
    """Writes down where everything went, for `trace`, after the fact. A relay that is killed in between leaves a
    batch out for good: it was sent, and where it lies is not known. A full disk or a migration is waited for.
    """
    once_unhindered(partial(_write_down, connection, places), "relay", stop)


def _write_down(connection: Connection[Any], places: list[Place]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy('copy ledger.relayed (position, topic, partition, "offset") from stdin') as copy,
    ):
        for place in places:
            copy.write_row((place.position, place.topic, place.partition, place.offset))


def _wait(connection: Connection[Any]) -> None:
    """Until the ledger says that something is new, or a second has passed."""
    for _ in connection.notifies(timeout=IDLE_SECONDS, stop_after=1):
        pass


def _centre_schemas(ids: SchemaIds) -> Mapping[str, int]:
    """The ids of what the centre says, by record."""
    return {name: ids.id_of(name) for name in CENTRE_TYPES}


def _name(error: Exception) -> str:
    if isinstance(error, KafkaException):
        return str(error.args[0].name())
    return str(getattr(error, "sqlstate", "") or "")


if __name__ == "__main__":
    sys.exit(main())
