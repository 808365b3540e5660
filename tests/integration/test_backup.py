"""A backup of the ledger that was put back: the bus catches up by itself, and nobody reads anything twice."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from bus_events import Lane, answer, directive, receipt, value_of
from howto_page import blocks_of
from ledger_facts import one, rows
from page_runner import PageRunner
from portalbus.infra.stack import Endpoints
from portalbus.producers.centre_schemas import CentreSchemas
from portalbus.schemas.models import Verdict
from portalbus.streams.reading.proof import prove_verdicts
from whole_bus import Bus, outgoing_topics

AGENCIES = ("G10", "H26")


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, AGENCIES).open()
    yield bus
    bus.close()


class Day:
    """What two agencies publish: directives, cases, and answers of which some come before their question."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._lanes = {agency: Lane(agency) for agency in AGENCIES}
        self.sent: Counter[str] = Counter()

    def publish(self, first: int, count: int) -> None:
        """Publishes so many rounds of seven records each."""
        for n in range(first, first + count):
            asking, answering = AGENCIES if n % 2 else AGENCIES[::-1]
            case = receipt(f"{asking}-{n:06}", n, addressed_to=answering)
            self._say(asking, directive(f"d-{n % 5}", 1 + n % 4))
            if n % 3 == 0:
                self._say(answering, answer(f"{asking}-{n:06}"))
            self._say(asking, case)
            if n % 3:
                self._say(answering, answer(f"{asking}-{n:06}"))
            self._say(answering, directive(f"d-{n}", 1))
            self._send(asking, b"k", b"rubbish") if n % 10 == 0 else None
        assert self._bus.producer.flush(60) == 0

    def all_taken(self) -> bool:
        """True when the ledger has everything."""
        return all(self._bus.next_offset(agency) == count for agency, count in self.sent.items())

    def _say(self, agency: str, payload: object) -> None:
        event = self._lanes[agency].say(payload).content.event  # type: ignore[arg-type, union-attr]
        self._send(agency, event.key.encode(), value_of(event, self._bus.schema_ids))

    def _send(self, agency: str, key: bytes, value: bytes) -> None:
        self._bus.producer.produce(f"lane.{agency}", value, key)
        self._bus.producer.poll(0)
        self.sent[agency] += 1


def said_on(page: str, begun: str) -> list[str]:
    """The commands of the page's one block that begins with these words."""
    (text,) = (text for _, text in blocks_of(page) if text.startswith(begun))
    return text.splitlines()


def read_committed(bus: Bus) -> list[Message]:
    """Everything that a read_committed reader finds."""
    settings = {"group.id": "test-backup", "isolation.level": "read_committed", "enable.partition.eof": True}
    consumer = Consumer({"bootstrap.servers": bus.endpoints.bootstrap, **settings})
    known = consumer.list_topics(timeout=30).topics
    parts = [(topic, number) for topic in outgoing_topics(AGENCIES) for number in known[topic].partitions]
    consumer.assign([TopicPartition(*part, OFFSET_BEGINNING) for part in parts])
    found: list[Message] = []
    ended = 0
    while ended < len(parts):
        message = consumer.poll(30)
        assert message is not None
        if message.error() is not None:
            ended += 1
        else:
            found.append(message)
    consumer.close()
    return found


def header(message: Message, name: str) -> str:
    """One header of a message."""
    headers = message.headers()
    assert isinstance(headers, list)
    value = dict(headers)[name]
    assert isinstance(value, bytes)
    return value.decode()


def all_relayed(bus: Bus) -> bool:
    """True when the relay is at the end of the ledger."""
    last = one(bus.look, "select max(position) from ledger.judgement")
    return bool(one(bus.look, "select max(position) from ledger.relayed") == last)


def test_an_old_backup_is_put_back_and_the_bus_catches_up_without_a_loss_or_a_double(bus: Bus, tmp_path: Path) -> None:
    file, day = tmp_path / "ledger.dump", Day(bus)
    worker, relay = bus.start_worker(), bus.start_relay()
    day.publish(1, 60)
    bus.wait_until(day.all_taken, "the morning")
    done = bus.command("backup", "--out", str(file))
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o077 == 0, "nobody else reads a backup"
    for first in range(61, 181, 20):  # in many small batches, so that the lanes interleave otherwise the second time
        day.publish(first, 20)
        bus.wait_until(day.all_taken, "the afternoon")
    bus.wait_until(lambda: all_relayed(bus), "everything is sent")
    refused = bus.command("restore", str(file), "--yes")
    assert refused.returncode == 3
    assert "stop the processes" in refused.stderr
    assert (worker.stop(), relay.stop()) == (0, 0)
    before, sent_before = bus.position(), len(read_committed(bus))
    day.publish(181, 20)

    (command,) = said_on("operations.md", "portalbus restore /var/backups/portalbus/ledger.dump")
    done = bus.command(*shlex.split(command.replace("/var/backups/portalbus", str(tmp_path)))[1:])
    assert done.returncode == 0, done.stderr
    assert bus.position() == before, "positions are not given away twice"
    worker, relay = bus.start_worker(), bus.start_relay()
    bus.wait_until(day.all_taken, "the bus has caught up")
    bus.wait_until(lambda: relay_is_done(bus), "everything is sent")

    messages = read_committed(bus)
    assert len(messages) > sent_before
    assert_nothing_lost_or_doubled(bus, messages)
    again = bus.command("rebuild", "--json")
    assert again.returncode == 0, again.stdout[-2000:] + again.stderr
    proof = prove_verdicts(bus.look, None)
    assert proof.holds, proof.problems
    assert (worker.stop(), relay.stop()) == (0, 0)


def test_a_relay_says_so_when_the_ledger_is_older_than_what_was_sent(bus: Bus, tmp_path: Path) -> None:
    day = Day(bus)
    worker, relay = bus.start_worker(), bus.start_relay()
    day.publish(1, 3)
    bus.wait_until(day.all_taken, "some events")
    bus.wait_until(lambda: all_relayed(bus), "everything is sent")
    assert (worker.stop(), relay.stop()) == (0, 0)
    bus.look.execute("update ledger.position set next = 2")  # as if PostgreSQL had been put back by its own means
    relay = bus.start_relay()
    assert relay.process.wait(60) == 70
    assert relay.said("relay.ledger-is-older")
    (command,) = said_on("operations.md", "portalbus restore --settle")
    assert bus.command(*shlex.split(command)[1:]).returncode == 0
    relay = bus.start_relay()
    bus.wait_until(lambda: relay.said("relay.started"), "the relay works again")


def test_the_way_back_on_the_page_about_upgrading_leads_to_where_the_bus_was(bus: Bus, tmp_path: Path) -> None:
    day = Day(bus)
    worker, relay = bus.start_worker(), bus.start_relay()
    day.publish(1, 10)
    bus.wait_until(day.all_taken, "what was published before the upgrade")
    page = PageRunner(tmp_path, bus.environment)
    (before,) = (line for line in said_on("upgrading.md", "portalbus doctor") if "backup" in line)
    page.command(before)
    day.publish(11, 10)
    bus.wait_until(day.all_taken, "what was published since")
    bus.wait_until(lambda: all_relayed(bus), "everything is sent")
    position = bus.position()
    assert (worker.stop(), relay.stop()) == (0, 0)
    for command in said_on("upgrading.md", "portalbus backup --out before-going-back.dump"):
        page.command(command)
    assert one(bus.look, "select max(left(name, 4)) from public.portalbus_migration where name ~ '^\\d{4}_'") == "0015"
    (restore,) = said_on("upgrading.md", "portalbus restore before-the-upgrade.dump")
    page.command(restore)
    assert bus.position() == position
    worker, relay = bus.start_worker(), bus.start_relay()
    bus.wait_until(day.all_taken, "the bus has caught up")
    bus.wait_until(lambda: relay_is_done(bus), "everything is sent")
    assert_nothing_lost_or_doubled(bus, read_committed(bus))
    assert (worker.stop(), relay.stop()) == (0, 0)


def relay_is_done(bus: Bus) -> bool:
    """True when the relay's position is at the end of the ledger; what was sent before leaves no row."""
    from portalbus.streams.relaying.position import read_position

    return read_position(bus.endpoints.bootstrap) == bus.position()


def assert_nothing_lost_or_doubled(bus: Bus, messages: list[Message]) -> None:
    """Each accepted event once, each final verdict of the ledger once, each partition in the order of positions."""
    canonical = Counter(
        header(message, "ce_id") for message in messages if not (message.topic() or "").startswith("verdict.")
    )
    assert set(canonical.values()) == {1}, "an event is in the canonical topics twice"
    accepted = {
        event for (event,) in rows(bus.look, "select event_id::text from ledger.event where status = 'ACCEPTED'")
    }
    assert set(canonical) == accepted
    schemas = CentreSchemas(bus.endpoints.registry_url)
    verdicts: Counter[tuple[str, int, str]] = Counter()
    for message in messages:
        if (message.topic() or "").startswith("verdict.") and header(message, "ce_type").endswith(".Verdict"):
            said = schemas.decode(message.value())
            assert isinstance(said, Verdict)
            if said.final:
                verdicts[said.agency, said.offset, said.rule] += 1
    final = rows(bus.look, "select agency, lane_offset, rule from ledger.event where final")
    assert verdicts == Counter(final)
    places: dict[tuple[str | None, int | None], list[int]] = {}
    for message in messages:
        places.setdefault((message.topic(), message.partition()), []).append(int(header(message, "portalbus-position")))
    assert all(positions == sorted(positions) for positions in places.values())
