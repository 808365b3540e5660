"""The SDK with a real broker and registry: what is acknowledged arrives, in order, through every kind of outage."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from lanes import OnLane, events_of, first_arrivals, make_topics, read_topic
from portal_events import directive, feedback
from portalbus.infra.stack import Endpoints
from portalbus.infra.stack.containers import RunningStack
from portalbus.producers import (
    AsyncPortal,
    OutboxDamaged,
    Portal,
    Receipt,
    Verdict,
    VerdictStatus,
    new_event_id,
)
from portalbus.producers.high_water import HighWater, Mark
from portalbus.schemas import codec
from portalbus.schemas.models import Event, SourceManifest, Texts
from portalbus.schemas.registration import SchemaIds, register_all
from portalbus.schemas.registry import SchemaRegistry

SUPPORT = Path(__file__).parents[1] / "support"
Eventually = Callable[[Callable[[], bool]], bool]


@pytest.fixture(scope="module")
def lane(endpoints: Endpoints) -> str:
    register_all(SchemaRegistry(endpoints.registry_url))
    return make_topics(endpoints.bootstrap, "H26")


@pytest.fixture
def open_portal(endpoints: Endpoints, lane: str, tmp_path: Path) -> Callable[..., Portal]:
    def make(portal: str, agency: str = "H26", **changed: object) -> Portal:
        settings = {
            "bootstrap": endpoints.bootstrap,
            "registry_url": endpoints.registry_url,
            "outbox": tmp_path / "outbox",
            **changed,
        }
        return Portal(agency, portal, **settings)  # type: ignore[arg-type]

    return make


def arrived(endpoints: Endpoints, portal: str, receipts: list[Receipt]) -> list[OnLane]:
    """The portal's events on the lane: exactly those of the receipts, in order of their sequences."""
    events = events_of(endpoints.bootstrap, "lane.H26", f"H26/{portal}")
    firsts = first_arrivals(events)
    assert [(event.sequence, event.event_id) for event in firsts] == [
        (receipt.sequence, receipt.event_id) for receipt in sorted(receipts, key=lambda receipt: receipt.sequence)
    ]
    return events


def test_events_arrive_once_in_order_and_confluent_reads_them(
    endpoints: Endpoints, open_portal: Callable[..., Portal]
) -> None:
    payload = directive(1)
    with open_portal("order") as portal:
        receipts = [portal.publish(payload, traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
        for start in range(0, 2_000, 100):
            receipts += portal.publish_many(feedback(start + number) for number in range(100))
        assert portal.flush(60)
        status = portal.status()
    assert (status.undelivered, status.last_error, status.deliverer_pid) == (0, None, os.getpid())
    events = arrived(endpoints, "order", receipts)
    assert len(events) == len(receipts), "without faults nothing is sent twice"

    first = events[0]
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": endpoints.registry_url}))
    read = deserialize(first.value, SerializationContext("lane.H26", MessageField.VALUE))
    assert read["title"] == payload.title
    assert read["envelope"]["id"] == receipts[0].event_id
    assert first.key == b"H26/ct-1"
    assert first.headers["ce_type"] == b"portalbus.events.DirectivePublished"
    assert first.headers["traceparent"].startswith(b"00-4bf92f35")
    ids = SchemaIds(SchemaRegistry(endpoints.registry_url))
    event = codec.decode(first.value, ids.lane_writers())
    assert isinstance(event, Event)
    assert event.payload == payload


def test_the_manifest_tells_the_centre_what_there_is(
    endpoints: Endpoints, open_portal: Callable[..., Portal], eventually: Eventually
) -> None:
    writers = SchemaIds(SchemaRegistry(endpoints.registry_url)).lane_writers()

    def manifests() -> list[SourceManifest]:
        values = [
            message.value() for message in read_topic(endpoints.bootstrap, "lane.H26") if message.key() == b"H26/heart"
        ]
        return [found for value in values if isinstance(found := codec.decode(value, writers), SourceManifest)]

    with open_portal("heart", heartbeat=0.2) as portal:
        portal.publish_many(feedback(number) for number in range(7))
        assert portal.flush(30)
        assert eventually(lambda: any(manifest.delivered_sequence == 7 for manifest in manifests()))
    last = manifests()[-1]
    assert (last.first_sequence, last.last_sequence, sum(bucket.count for bucket in last.buckets)) == (1, 7, 7)


def test_a_broker_that_is_killed_costs_nothing_but_time(
    stack: RunningStack, endpoints: Endpoints, open_portal: Callable[..., Portal], eventually: Eventually
) -> None:
    receipts: list[Receipt] = []
    enough = threading.Event()

    def more_than(count: int, figure: Callable[[], int]) -> bool:
        return eventually(lambda: figure() > count)

    def keep_publishing() -> None:
        while not enough.is_set():
            receipts.extend(portal.publish_many(feedback(len(receipts) + number) for number in range(5)))

    with open_portal("outage") as portal:
        publisher = threading.Thread(target=keep_publishing)
        publisher.start()
        try:
            for _ in range(2):
                assert more_than(0, lambda: portal.status().delivered_sequence)
                stack.kafka.kill()
                before = len(receipts)
                assert more_than(before + 100, lambda: len(receipts)), "publishing goes on"
                assert eventually(lambda: "does not answer" in (portal.status().last_error or ""))
                stack.kafka.start()
                assert more_than(before, lambda: portal.status().delivered_sequence)
        finally:
            enough.set()
            publisher.join()
        assert portal.flush(60)
        assert eventually(lambda: portal.status().last_error is None)
    events = arrived(endpoints, "outage", receipts)
    print(f"2 broker kills: {len(receipts)} acknowledged, 0 lost, {len(events) - len(receipts)} sent twice")


def test_a_process_killed_while_delivering_loses_nothing(
    endpoints: Endpoints, open_portal: Callable[..., Portal], tmp_path: Path
) -> None:
    acknowledged: dict[int, str] = {}
    kills = 10
    for seed in range(kills):
        arguments = [str(tmp_path / "outbox"), str(seed * 50_000), endpoints.bootstrap, endpoints.registry_url]
        process = subprocess.Popen(
            [sys.executable, str(SUPPORT / "publishing_process.py"), *arguments], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        timer = threading.Timer(random.Random(seed).uniform(0.05, 0.9), process.send_signal, (signal.SIGKILL,))
        timer.start()
        lines += process.stdout.readlines()
        assert process.wait(10) == -signal.SIGKILL
        for line in lines:
            if line.endswith("\n") and len(parts := line.split()) == 3:
                acknowledged[int(parts[0])] = parts[1]
    with open_portal("killed") as portal:
        assert portal.flush(60)
    events = events_of(endpoints.bootstrap, "lane.H26", "H26/killed")
    firsts = first_arrivals(events)
    assert [event.sequence for event in firsts] == list(range(1, len(firsts) + 1)), "in order, without a hole"
    on_lane = {event.sequence: event.event_id for event in firsts}
    assert acknowledged.items() <= on_lane.items()
    twice = len(events) - len(firsts)
    print(f"{kills} kills: {len(acknowledged)} acknowledged, {len(firsts)} on the lane, 0 lost, {twice} twice")


def test_one_process_delivers_and_another_takes_over(
    open_portal: Callable[..., Portal], endpoints: Endpoints, tmp_path: Path, eventually: Eventually
) -> None:
    arguments = [str(tmp_path / "outbox"), "0", endpoints.bootstrap, endpoints.registry_url]
    process = subprocess.Popen(
        [sys.executable, str(SUPPORT / "publishing_process.py"), *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    drain = threading.Thread(target=process.stdout.read)
    process.stdout.readline()
    drain.start()
    with open_portal("killed") as portal:
        assert eventually(lambda: portal.status().deliverer_pid == process.pid)
        process.kill()
        process.wait(10)
        drain.join()
        assert eventually(lambda: portal.status().deliverer_pid == os.getpid())
        assert portal.flush(60)
        assert portal.status().undelivered == 0


def test_publishing_needs_neither_broker_nor_registry(
    stack: RunningStack, endpoints: Endpoints, open_portal: Callable[..., Portal], eventually: Eventually
) -> None:
    stack.registry.stop()
    try:
        portal = open_portal("cold")
        receipts = portal.publish_many(feedback(number) for number in range(20))
        assert eventually(lambda: "registry does not answer" in (portal.status().last_error or ""))
        assert not portal.flush(0.2)
    finally:
        stack.registry.start()
    assert portal.flush(60)
    portal.close()
    arrived(endpoints, "cold", receipts)

    stack.registry.stop()
    try:
        warm = open_portal("cold")
        receipts.append(warm.publish(feedback(99)))
        assert warm.flush(30), "the ids are remembered on disk"
        warm.close()
    finally:
        stack.registry.start()
    arrived(endpoints, "cold", receipts)


def test_a_missing_lane_is_named_and_used_once_it_is_there(
    endpoints: Endpoints, open_portal: Callable[..., Portal], eventually: Eventually
) -> None:
    agency = f"H29.{secrets.token_hex(3).upper()}"
    with open_portal("www", agency) as portal:
        portal.publish(directive(1))
        assert eventually(lambda: f"lane.{agency} does not exist" in (portal.status().last_error or ""))
        assert portal.status().undelivered == 1
        make_topics(endpoints.bootstrap, agency)
        assert portal.flush(60)
        assert eventually(lambda: portal.status().last_error is None)


def test_an_event_the_broker_refuses_stops_only_its_own_key(
    endpoints: Endpoints, open_portal: Callable[..., Portal], eventually: Eventually
) -> None:
    lane = make_topics(endpoints.bootstrap, "H17", max_message_bytes="20000")
    incompressible = "".join(random.Random(1).choices([chr(point) for point in range(0x4E00, 0x9FA5)], k=15_000))
    large = directive(7).model_copy(update={"body": incompressible})
    with open_portal("www", "H17") as portal:
        before = portal.publish_many(directive(number) for number in range(5))
        dead = portal.publish(large)
        held = portal.publish(directive(7, 2))
        after = portal.publish_many(directive(number) for number in range(10, 15))
        assert not portal.flush(60), "not everything could be delivered"
        assert eventually(lambda: portal.status().undelivered == 0)
        status = portal.status()
        assert (status.dead, status.held, status.healthy) == (1, 1, False)
        assert [(stuck.sequence, stuck.held) for stuck in portal.undeliverable()] == [
            (dead.sequence, False),
            (held.sequence, True),
        ]
        assert "MSG_SIZE_TOO_LARGE" in portal.undeliverable()[0].reason
        present = {event.sequence for event in events_of(endpoints.bootstrap, lane, "H17/www")}
        assert present == {receipt.sequence for receipt in before + after}

        make_topics(endpoints.bootstrap, "H17")
        assert portal.redrive("H17/ct-7") == 2
        assert eventually(lambda: portal.undeliverable() == [])
    own = [event.sequence for event in events_of(endpoints.bootstrap, lane, "H17/www") if event.key == b"H17/ct-7"]
    assert own == [dead.sequence, held.sequence]


def send_verdicts(endpoints: Endpoints, verdicts: list[Verdict]) -> None:
    """Writes verdicts as the centre does: in a transaction."""
    schema_id = SchemaIds(SchemaRegistry(endpoints.registry_url)).id_of("Verdict")
    producer = Producer({"bootstrap.servers": endpoints.bootstrap, "transactional.id": "tests-relay"})
    producer.init_transactions(30)
    producer.begin_transaction()
    for verdict in verdicts:
        producer.produce("verdict.H26", codec.encode_record(verdict, "Verdict", schema_id), verdict.event_id)
    producer.commit_transaction(30)


def verdict(receipt: Receipt, portal: str, rule: str = "event.accepted", late: int = 0) -> Verdict:
    accepted = rule == "event.accepted"
    return Verdict(
        agency="H26",
        lane="lane.H26",
        offset=0,
        event_id=receipt.event_id,
        event_type="FeedbackReceived",
        portal=portal,
        epoch=receipt.epoch,
        sequence=receipt.sequence,
        key=receipt.key,
        status=VerdictStatus.ACCEPTED if accepted else VerdictStatus.REJECTED,
        final=True,
        rule=rule,
        path=None,
        message=Texts(vi="…", en="…", zh="…"),
        mend=None,
        judged_at=datetime.now(UTC) + timedelta(seconds=late),
    )


def test_verdicts_come_back_to_their_portal(
    endpoints: Endpoints, open_portal: Callable[..., Portal], eventually: Eventually
) -> None:
    heard: list[str] = []
    stumbled = threading.Event()

    def on_verdict(found: Verdict) -> None:
        if not stumbled.is_set():
            stumbled.set()
            raise RuntimeError("the portal's own trouble")
        heard.append(found.event_id or "")

    with open_portal("asks", on_verdict=on_verdict) as portal:
        mine = portal.publish_many(feedback(number) for number in range(3))
        foreign = Receipt(new_event_id(), 1, 1, "H26-1")
        send_verdicts(
            endpoints,
            [
                verdict(mine[0], "asks"),
                verdict(foreign, "another"),
                verdict(mine[1], "asks", "case.already-received", late=1),
            ],
        )
        assert eventually(lambda: heard == [mine[0].event_id, mine[1].event_id])
        assert [found.event_id for found in portal.verdicts()] == heard
        rejected = portal.verdict_of(mine[1].event_id)
        assert rejected is not None
        assert (rejected.status, rejected.rule) == (VerdictStatus.REJECTED, "case.already-received")
        assert portal.verdict_of(mine[2].event_id) is None
        assert [found.event_id for found in portal.verdicts(since=rejected.judged_at)] == [mine[1].event_id]
    with open_portal("asks", on_verdict=on_verdict) as portal:
        send_verdicts(endpoints, [verdict(mine[2], "asks")])
        assert eventually(lambda: heard == [receipt.event_id for receipt in mine]), (
            "from where it was, not from the start"
        )


def test_a_verdict_on_an_unknown_sequence_stops_an_old_copy(
    endpoints: Endpoints, open_portal: Callable[..., Portal], eventually: Eventually
) -> None:
    ahead = Receipt(new_event_id(), 50, 1, "H26-2026-000050")
    with open_portal("restored", verdicts=True) as portal:
        portal.publish(feedback(1))
        assert portal.flush(30)
        send_verdicts(endpoints, [verdict(ahead, "restored")])
        assert eventually(lambda: "old copy" in (portal.status().damaged or ""))
        with pytest.raises(OutboxDamaged, match="portalbus outbox repair"):
            portal.publish(feedback(2))


def test_the_awaited_portal_does_the_same(endpoints: Endpoints, lane: str, tmp_path: Path) -> None:
    async def publish() -> list[Receipt]:
        async with AsyncPortal(
            "H26", "awaited", bootstrap=endpoints.bootstrap, registry_url=endpoints.registry_url, outbox=tmp_path
        ) as portal:
            receipts = await asyncio.gather(*(portal.publish(feedback(number)) for number in range(50)))
            assert await portal.flush(30)
            assert [found async for found in portal.verdicts()] == []
            assert (await portal.status()).delivered == 50
        return list(receipts)

    arrived(endpoints, "awaited", asyncio.run(publish()))


@pytest.mark.parametrize(("days", "said"), [(3, "3 days ahead of"), (-3, "3 days behind")])
def test_a_clock_that_is_off_is_noticed_by_the_brokers_stamps(
    open_portal: Callable[..., Portal], eventually: Eventually, monkeypatch: pytest.MonkeyPatch, days: int, said: str
) -> None:
    off = time.time
    monkeypatch.setattr(time, "time", lambda: off() + days * 86_400)
    with open_portal(f"clock{days}") as portal:
        portal.publish_many(feedback(number) for number in range(20))
        assert eventually(lambda: f"the clock of this machine is {said}" in (portal.status().last_error or ""))
        assert not portal.status().healthy
        assert portal.status().undelivered == 0, "it is a warning, and holds nothing up"
        monkeypatch.undo()
        portal.publish_many(feedback(number) for number in range(20, 40))
        assert eventually(lambda: portal.status().last_error is None)


def test_an_outbox_whose_mark_cannot_be_written_delivers_and_says_so(
    endpoints: Endpoints,
    open_portal: Callable[..., Portal],
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    with open_portal("nomark") as portal:
        receipts = [portal.publish(feedback(0))]
        break_the_mark(monkeypatch)
        receipts.append(portal.publish(feedback(1)))
        assert portal.flush(20)
        assert eventually(lambda: "nomark.mark cannot be written" in (portal.status().last_error or ""))
        monkeypatch.undo()
        assert eventually(lambda: portal.status().last_error is None)
    mark = HighWater(tmp_path / "outbox" / "H26.nomark.mark")
    assert mark.read() == Mark(1, 2)
    mark.close()
    arrived(endpoints, "nomark", receipts)


def break_the_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a disk does that cannot write any more."""

    def refused(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pwrite", refused)
