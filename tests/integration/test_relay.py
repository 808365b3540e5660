"""The relay on a real Kafka: each judgement once, in ledger order, whoever kills it and however many there are."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from structlog.testing import capture_logs

from bus_events import answer, directive, envelope, receipt, value_of
from ledger_facts import rows
from memory_ledger import directory
from portalbus.infra.stack import Endpoints, Stack
from portalbus.schemas.avro_files import CENTRE_TYPES
from portalbus.schemas.codec import WriterSchemas, read
from portalbus.schemas.errors import UndecodableRecord
from portalbus.schemas.headers import cloudevents_headers
from portalbus.schemas.models import Event, Payload
from portalbus.schemas.notices import ResendRequested
from portalbus.schemas.registration import SchemaIds
from portalbus.schemas.registry import SchemaRegistry
from portalbus.schemas.topics import CANONICAL, verdicts_of
from portalbus.streams.judgement.docket import Content, Item, Unreadable
from portalbus.streams.ledger.database import connect
from portalbus.streams.ledger.ledger import Ledger
from portalbus.streams.ledger.order import CHANNEL, forget_news
from portalbus.streams.records import LaneRecord
from portalbus.streams.relaying.endless import endless
from portalbus.streams.relaying.outgoing import Message as Sendable
from portalbus.streams.relaying.outgoing import Told, messages_of, next_outgoing
from portalbus.streams.relaying.position import read_position
from portalbus.streams.relaying.sender import TRANSACTIONAL_ID, Sender
from promises import promised
from raw_batches import OpenTransaction
from seeds import fresh_seed
from whole_bus import RELAY_POSITION, Bus, outgoing_topics

AGENCIES = ("G22", "H26")


class Filler:
    """Fills the ledger as workers do, with values under the schema ids of the real registry."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._ids = writers_of(bus)
        self._ledger = Ledger(bus.database_url, self._ids, directory())
        self._ledger.open_lanes(AGENCIES)
        self._next = dict.fromkeys(AGENCIES, 0)
        self.values: dict[tuple[str, int], bytes] = {}

    def take(self, agency: str, *values: bytes) -> None:
        """Takes records into the ledger, in one transaction."""
        items = []
        for value in values:
            offset = self._next[agency]
            self._next[agency] += 1
            self.values[agency, offset] = value
            record = LaneRecord(f"lane.{agency}", agency, offset, round(time.time() * 1000), None, value)
            items.append(Item(record, self._content(value)))
        self._ledger.take_in(items)

    def event(self, agency: str, number: int, payload: Payload) -> bytes:
        """The value of an agency's `number`-th event."""
        head = envelope(AGENCIES.index(agency) * 1_000_000 + number, agency, number)
        return value_of(Event(head, payload), self._bus.schema_ids)

    def cases(self, agency: str, first: int, count: int) -> list[bytes]:
        """Values of as many cases, every tenth of them sent twice and every seventh a refused one."""
        found: list[bytes] = []
        for n in range(first, first + count):
            code = AGENCIES.index(agency) * 1_000_000 + n
            name = "X99" if n % 7 == 0 else agency
            found.append(self.event(agency, n, receipt(f"{agency}-{n:06}", code, addressed_to=name)))
            if n % 10 == 0:
                found.append(found[-1])
        return found

    def close(self) -> None:
        """Lets go of the ledger."""
        self._ledger.close()

    def _content(self, value: bytes) -> Content:
        try:
            return read(value, self._ids)
        except UndecodableRecord as error:
            return Unreadable(error.rule, error.detail)


def writers_of(bus: Bus) -> WriterSchemas:
    """What may be on a lane, under the registry's ids."""
    return SchemaIds(SchemaRegistry(bus.endpoints.registry_url)).lane_writers()


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, AGENCIES).open()
    yield bus
    bus.close()


@pytest.fixture
def filler(bus: Bus) -> Iterator[Filler]:
    filler = Filler(bus)
    yield filler
    filler.close()


def sent(bus: Bus) -> list[Message]:
    """Everything that a read_committed reader finds in the topics that the relay writes to."""
    consumer = Consumer(
        {
            "bootstrap.servers": bus.endpoints.bootstrap,
            "group.id": "test-relay",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    topics = consumer.list_topics(timeout=30).topics
    parts = [(topic, number) for topic in outgoing_topics(AGENCIES) for number in topics[topic].partitions]
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in parts])
    found: list[Message] = []
    ended: set[tuple[str, int]] = set()
    while len(ended) < len(parts):
        message = consumer.poll(30)
        assert message is not None, f"the end of {set(parts) - ended} did not come"
        if message.error() is not None:
            ended.add((topic_of(message), message.partition() or 0))
        else:
            found.append(message)
    consumer.close()
    return found


def headers_of(message: Message) -> dict[str, bytes]:
    """The headers of a message."""
    found = message.headers() or []
    assert isinstance(found, list)
    return {name: value for name, value in found if isinstance(value, bytes)}


def topic_of(message: Message) -> str:
    """The topic of a message."""
    return message.topic() or ""


def position_of(message: Message) -> int:
    """The ledger position that a message belongs to."""
    return int(headers_of(message)["portalbus-position"])


def relayed_up_to(bus: Bus) -> int:
    """The last position that is known to be sent."""
    return int(rows(bus.look, "select coalesce(max(position), 0) from ledger.relayed")[0][0])


def wait_for_progress(bus: Bus) -> None:
    """Waits until something more was sent."""
    before = relayed_up_to(bus)
    bus.wait_until(lambda: relayed_up_to(bus) > before, "progress")


def assert_each_once_in_order(bus: Bus, filler: Filler) -> None:
    """One verdict for each judgement, one canonical event for each accepted one, each partition in ledger order."""
    messages = sent(bus)
    by_partition: dict[tuple[str, int], list[int]] = {}
    for message in messages:
        by_partition.setdefault((topic_of(message), message.partition() or 0), []).append(position_of(message))
    for place, positions in by_partition.items():
        assert positions == sorted(set(positions)), f"{place} is out of order or holds something twice"
    judged = rows(bus.look, "select position, agency, lane_offset, status from ledger.judgement order by position")
    verdicts = sorted(position_of(m) for m in messages if topic_of(m).startswith("verdict."))
    assert verdicts == [position for position, *_ in judged]
    canonical = {position_of(m): m.value() for m in messages if not topic_of(m).startswith("verdict.")}
    assert canonical == {
        position: filler.values[agency, offset] for position, agency, offset, status in judged if status == "ACCEPTED"
    }, "the very bytes of the lane"


def test_relays_killed_again_and_again_send_everything_once_in_order(bus: Bus, filler: Filler) -> None:
    seed = fresh_seed("a relay killed again and again")
    random = Random(seed)
    stopped = threading.Event()

    def fill() -> None:
        first = 1
        while not stopped.wait(0.02):
            for agency in AGENCIES:
                filler.take(agency, *filler.cases(agency, first, 10))
            first += 10

    filling = threading.Thread(target=fill, daemon=True)
    filling.start()
    relays = [bus.start_relay(), bus.start_relay()]
    kills = 0
    while kills < 10:
        bus.wait_until(lambda: any(relay.said("relay.started") for relay in relays), "a leader")
        wait_for_progress(bus)
        time.sleep(random.random() * 0.2)  # the kill comes at any instant of the work, not at its beginning
        leader = next(relay for relay in relays if relay.said("relay.started"))
        leader.kill()
        relays.remove(leader)
        relays.append(bus.start_relay())
        kills += 1
    stopped.set()
    filling.join(60)
    finished = bus.wait_until(lambda: relayed_up_to(bus) == bus.position(), "the end")
    print(f"\nseed {seed}: {kills} kills, {bus.position()} judgements, the rest took {finished:.1f} s")
    assert_each_once_in_order(bus, filler)
    sessions = "select count(*) from pg_stat_activity where datname = current_database() and application_name = %s"
    bus.wait_until(lambda: rows(bus.look, sessions, "portalbus-relay") == [(2,)], "both relays at work")
    for relay in relays:
        assert relay.stop() == 0, relay.text()
    assert read_position(bus.endpoints.bootstrap) == bus.position()


def test_a_frozen_relay_gives_way_to_the_one_that_stands_by_and_can_send_nothing_more(bus: Bus, filler: Filler) -> None:
    filler.take("H26", *filler.cases("H26", 1, 20))
    frozen = bus.start_relay()
    bus.wait_until(lambda: relayed_up_to(bus) == bus.position(), "the first relay's work")
    other = bus.start_relay()
    frozen.process.send_signal(signal.SIGSTOP)
    filler.take("H26", *filler.cases("H26", 21, 20))
    took = bus.wait_until(lambda: relayed_up_to(bus) == bus.position(), "the takeover", 60)
    print(f"\nthe other relay took over after {took:.1f} s")
    frozen.process.send_signal(signal.SIGCONT)
    assert frozen.process.wait(60) == 70, frozen.text()
    filler.take("H26", *filler.cases("H26", 41, 20))
    bus.wait_until(lambda: relayed_up_to(bus) == bus.position(), "the rest")
    assert_each_once_in_order(bus, filler)
    assert other.process.poll() is None


def test_a_relay_whose_position_was_lost_sends_nothing_again_until_it_is_told_where_to_go_on(
    bus: Bus, filler: Filler
) -> None:
    filler.take("H26", *filler.cases("H26", 1, 20))
    first = bus.start_relay()
    bus.wait_until(lambda: relayed_up_to(bus) == bus.position(), "the first relay's work")
    assert first.stop() == 0, first.text()
    bus.make_anew(RELAY_POSITION)
    refused = bus.start_relay()
    assert refused.process.wait(60) == 70
    (said,) = refused.said("relay.position-lost")
    assert (said["topic_says"], said["ledger_says"]) == (0, bus.position())
    assert "--relay-after" in said["mend"]
    told = bus.start_relay(PORTALBUS_RELAY_AFTER=str(bus.position()))
    filler.take("H26", *filler.cases("H26", 21, 20))
    bus.wait_until(lambda: relayed_up_to(bus) == bus.position(), "the rest")
    assert_each_once_in_order(bus, filler)
    assert told.stop() == 0
    again = bus.start_relay(PORTALBUS_RELAY_AFTER="0")
    bus.wait_until(lambda: again.said("relay.started"), "a relay that knows its place and needs no word")
    assert again.said("relay.started")[0]["position"] == bus.position()


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of its own, whose broker will have lost the end of a transaction."""
    with Stack(tmp_path_factory.mktemp("lossy"), usual_ports=None) as stack:
        yield stack


@pytest.mark.parametrize("remembered", [True, False], ids=["remembered", "remembered by nobody"])
def test_a_transaction_whose_end_the_broker_has_forgotten_takes_effect_once(
    lossy: Stack, tmp_path: Path, remembered: bool
) -> None:
    """A stopping broker may call a transaction complete and not end it: readers wait at its first record for ever.

    What the ledger remembers was committed; of the rest nobody knows, and it is sent anew.
    """
    bus = Bus(lossy.endpoints, tmp_path, AGENCIES).open()
    filler = Filler(bus)
    try:
        filler.take("H26", *filler.cases("H26", 1, 20))
        relay = bus.start_relay()
        bus.wait_until(lambda: relayed_up_to(bus) == bus.position(), "the first relay's work")
        assert relay.stop() == 0, relay.text()
        sent_up_to = bus.position()
        filler.take("H26", *filler.cases("H26", 21, 20))
        lose_the_end(lossy, bus, sent_up_to, remembered)
        open_topics = {part.topic for part in endless(bus.endpoints.bootstrap)}
        assert open_topics == {RELAY_POSITION, "verdict.H26", "central.feedback-received"}

        again = bus.start_relay()
        filler.take("H26", *filler.cases("H26", 41, 40))
        bus.wait_until(lambda: relayed_up_to(bus) == bus.position(), "the rest")
        (said,) = again.said("relay.transaction-without-end")
        assert {part.rsplit("-", 1)[0] for part in said["undone"]} == (set() if remembered else open_topics)
        with promised():
            assert_each_once_in_order(bus, filler)
            assert endless(bus.endpoints.bootstrap) == []
        assert again.stop() == 0
    finally:
        filler.close()
        bus.close()


def lose_the_end(stack: Stack, bus: Bus, after: int, remembered: bool) -> None:
    """Puts into the topics what a relay would send next, in a transaction that never ends."""
    lost = OpenTransaction(stack, TRANSACTIONAL_ID, RELAY_POSITION)
    ids = SchemaIds(SchemaRegistry(bus.endpoints.registry_url))
    with connect(bus.database_url, application="test", autocommit=True) as connection:
        batch = next_outgoing(connection, after, 500)
        by_topic: dict[str, list[tuple[int, Sendable]]] = {}
        for outgoing in batch:
            for message in messages_of(outgoing, {name: ids.id_of(name) for name in CENTRE_TYPES}):
                by_topic.setdefault(message.topic, []).append((outgoing.position, message))
        for topic, messages in by_topic.items():
            places = lost.send(topic, [message for _, message in messages])
            for (position, _), place in zip(messages, places, strict=True):
                if remembered:
                    connection.execute(
                        "insert into ledger.relayed values (%s, %s, %s, %s)", (position, topic, 0, place.offset)
                    )
    lost.send(RELAY_POSITION, [Sendable(RELAY_POSITION, b"relay", str(batch[-1].position).encode(), [])])


def test_news_that_nobody_waits_for_are_not_gathered(bus: Bus) -> None:
    with connect(bus.database_url, application="relay", autocommit=True) as connection:
        connection.execute(f"listen {CHANNEL}")
        for number in range(50):
            bus.look.execute("select pg_notify(%s, %s)", (CHANNEL, str(number)))
            connection.execute("select 1")
        forget_news(connection)
        assert list(connection.notifies(timeout=0)) == []


def test_what_goes_out_can_be_read_by_anybody_with_the_registry(bus: Bus, filler: Filler) -> None:
    odd = [b"rubbish", b"\x00\x00\x00\x00\x99x"]
    filler.take(
        "H26",
        filler.event("H26", 1, receipt("H26-000001", 1)),
        filler.event("H26", 2, answer("H26-000001")),
        filler.event("H26", 3, directive("d-1", 2)),
        filler.event("H26", 4, directive("d-1")),
        *odd,
        filler.event("G22", 1, directive()),
    )
    relay = bus.start_relay()
    bus.wait_until(lambda: relayed_up_to(bus) == bus.position() == 8, "eight judgements")
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": bus.endpoints.registry_url}))
    messages = sent(bus)
    read_back = {}
    for message in messages:
        context = SerializationContext(topic_of(message), MessageField.VALUE)
        read_back[message.topic(), position_of(message)] = deserialize(message.value(), context)
    verdicts = [read_back[verdicts_of("H26"), position] for position in range(1, 9)]
    assert [(v["offset"], v["rule"], v["final"]) for v in verdicts] == [
        (0, "event.accepted", True),
        (1, "event.accepted", True),
        (2, "directive.waits-for-version", False),
        (3, "event.accepted", True),
        (2, "event.accepted", True),
        (4, "record.not-avro", False),
        (5, "record.schema-not-allowed", False),
        (6, "lane.agency-mismatch", True),
    ]
    assert verdicts[2]["message"]["en"] == "Waits for version 1 of the directive."
    assert verdicts[7]["mend"]["vi"]
    assert read_back[CANONICAL["FeedbackReceived"], 1]["subject"] == "Đèn đường hỏng"
    assert read_back[CANONICAL["DirectivePublished"], 5]["version"] == 2
    assert_each_once_in_order(bus, filler)
    where = {
        (row[0], row[1]): (row[2], row[3])
        for row in rows(bus.look, 'select position, topic, partition, "offset" from ledger.relayed')
    }
    assert where == {(position_of(m), m.topic()): (m.partition(), m.offset()) for m in messages}
    by_topic = {m.topic(): m for m in messages if position_of(m) == 1}
    canonical = by_topic[CANONICAL["FeedbackReceived"]]
    said = cloudevents_headers(envelope(1_000_001, "H26", 1), "FeedbackReceived")
    assert dict(said).items() <= headers_of(canonical).items(), "the headers that the portal itself gives"
    assert canonical.key() == b"H26-000001"
    told = headers_of(by_topic[verdicts_of("H26")])
    assert (told["ce_type"], told["content-type"]) == (b"portalbus.events.Verdict", b"application/avro")
    assert by_topic[verdicts_of("H26")].key() == verdicts[0]["event_id"].encode()
    parked = next(m for m in messages if m.topic() == verdicts_of("H26") and position_of(m) == 6)
    assert parked.key() == b"lane.H26@4"
    assert relay.stop() == 0


def test_the_position_is_found_behind_any_number_of_aborted_transactions(bus: Bus) -> None:
    assert read_position(bus.endpoints.bootstrap) == 0
    producer = Producer({"bootstrap.servers": bus.endpoints.bootstrap, "transactional.id": f"test-{bus.group}"})
    producer.init_transactions(30)
    for commit in (True, *[False] * 120):
        producer.begin_transaction()
        producer.produce(RELAY_POSITION, b"41" if commit else b"99", b"relay", partition=0)
        producer.flush(30)
        if commit:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
    assert read_position(bus.endpoints.bootstrap) == 41


def test_a_topic_that_nobody_made_is_named_with_what_to_do(bus: Bus) -> None:
    asked = ResendRequested(
        agency="H26", portal="www", epoch=1, first=1, last=2, reason="flow.sequence-gap", requested_at=datetime.now(UTC)
    )
    told = Told(1, "verdict.nobody-made-it", "H26/www", "ResendRequested", asked.model_dump_json())
    ids = SchemaIds(SchemaRegistry(bus.endpoints.registry_url))
    sender = Sender(bus.endpoints.bootstrap, {told.record: ids.id_of(told.record)})
    sender.open()
    with capture_logs() as logs, pytest.raises(KafkaException):
        sender.send([told, told])
    refused = [entry for entry in logs if entry["event"] == "relay.topic-refused"]
    assert [(entry["topic"], entry["error"]) for entry in refused] == [(told.topic, "UNKNOWN_TOPIC_OR_PART")]
    assert "portalbus prepare" in refused[0]["mend"]
