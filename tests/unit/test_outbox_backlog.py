"""What the deliverer reads and settles: prefixes, dead and held events, sending again, letting go, digests."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from portal_events import directive, feedback
from portalbus.producers import Bounds, OutboxDamaged, Portal
from portalbus.producers.backlog import DAY, Backlog, Fate, Settled, resend
from portalbus.producers.delivery_lock import DeliveryLock
from portalbus.producers.high_water import HighWater, Mark
from portalbus.producers.lane_records import read_manifest
from portalbus.producers.outbox import Outbox
from portalbus.producers.stored_event import StoredEvent
from portalbus.schemas.digest import EMPTY, event_digest, joined


@pytest.fixture
def portal(tmp_path: Path) -> Portal:
    return Portal("H26", outbox=tmp_path, deliver=False)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path, "H26", "www", Bounds())


def delivered(rows: list[StoredEvent]) -> list[Settled]:
    return [Settled(row, Fate.DELIVERED) for row in rows]


def test_the_backlog_is_read_in_order_from_where_it_was_settled(portal: Portal, outbox: Outbox) -> None:
    portal.publish_many(feedback(number) for number in range(5))
    backlog = Backlog(outbox)
    assert [row.sequence for row in backlog.after(0, 3)] == [1, 2, 3]
    backlog.settle(delivered(backlog.after(0, 2)))
    status = portal.status()
    assert (status.delivered_sequence, status.undelivered, status.delivered) == (2, 3, 2)
    assert status.oldest_undelivered_age is not None
    with pytest.raises(OutboxDamaged, match="event 4 settled behind 2"):
        backlog.settle(delivered(backlog.after(3, 1)))
    assert backlog.source_row().delivered_sequence == 2


def test_a_dead_event_blocks_only_its_own_key(portal: Portal, outbox: Outbox) -> None:
    portal.publish_many([directive(1), directive(2), directive(1, 2), directive(1, 3)])
    backlog = Backlog(outbox)
    rows = backlog.after(0, 10)
    fates = (Fate.DEAD, Fate.DELIVERED, Fate.HELD, Fate.HELD)
    backlog.settle([Settled(row, fate, "too large") for row, fate in zip(rows, fates, strict=True)])
    assert backlog.blocked_keys() == {"H26/ct-1"}
    assert [(stuck.sequence, stuck.held) for stuck in portal.undeliverable()] == [(1, False), (3, True), (4, True)]
    status = portal.status()
    assert (status.dead, status.held, status.undelivered, status.delivered, status.healthy) == (1, 2, 0, 1, False)
    assert outbox.stuck_between(1, 4) == 3

    assert portal.redrive("H26/ct-1") == 3
    again = backlog.asked_again(10)
    assert [row.sequence for row in again] == [1, 3, 4]
    backlog.settle_again(delivered(again[:1]))
    backlog.settle_again(delivered(again[1:]))
    assert (portal.undeliverable(), backlog.asked_again(10), backlog.blocked_keys()) == ([], [], set())


def test_what_was_held_meanwhile_follows_its_key(portal: Portal, outbox: Outbox) -> None:
    portal.publish_many([directive(1), directive(1, 2)])
    backlog = Backlog(outbox)
    first, second = backlog.after(0, 10)
    backlog.settle([Settled(first, Fate.DEAD, "too large")])
    portal.redrive("H26/ct-1")
    backlog.settle([Settled(second, Fate.HELD, "behind 1")])
    backlog.settle_again(delivered([first]))
    assert [row.sequence for row in backlog.asked_again(10)] == [2]


def test_a_discarded_event_lets_the_held_ones_go(portal: Portal, outbox: Outbox) -> None:
    portal.publish_many([directive(1), directive(1, 2)])
    backlog = Backlog(outbox)
    first, second = backlog.after(0, 10)
    backlog.settle([Settled(first, Fate.DEAD, "too large"), Settled(second, Fate.HELD, "behind 1")])
    assert not portal.discard(2)
    assert portal.discard(1)
    assert [row.sequence for row in backlog.asked_again(10)] == [2]


def test_delivered_events_can_be_sent_again_by_range(portal: Portal, outbox: Outbox) -> None:
    portal.publish_many(feedback(number) for number in range(6))
    backlog = Backlog(outbox)
    backlog.settle(delivered(backlog.after(0, 4)))
    with outbox.transaction() as connection:
        assert resend(connection, 2, 99) == 3, "5 and 6 are still on their way"
    rows = backlog.asked_again(10)
    assert [row.sequence for row in rows] == [2, 3, 4]
    before = read_manifest(backlog, days=None).buckets
    backlog.settle_again(delivered(rows))
    assert backlog.asked_again(10) == []
    assert read_manifest(backlog, days=None).buckets == before


def test_the_manifest_states_range_and_digests_of_what_was_delivered(portal: Portal, outbox: Outbox) -> None:
    portal.publish_many([feedback(1), directive(2), feedback(3), feedback(4)])
    backlog = Backlog(outbox)
    rows = backlog.after(0, 3)
    for row in rows:
        backlog.settle(delivered([row]))
    manifest = read_manifest(backlog, days=2)
    assert (manifest.first_sequence, manifest.last_sequence, manifest.delivered_sequence) == (1, 4, 3)
    digest = EMPTY
    for row in (rows[2], rows[0]):
        digest = joined(digest, event_digest(row.event_id, row.content_hash))
    counts = {bucket.event_type: (bucket.count, bucket.digest) for bucket in manifest.buckets}
    assert counts["FeedbackReceived"] == (2, digest.hex())
    assert counts["DirectivePublished"][0] == 1
    assert {bucket.day for bucket in manifest.buckets} == {datetime.now(UTC).date()}


def test_old_delivered_events_are_let_go_and_others_are_kept(portal: Portal, outbox: Outbox) -> None:
    portal.publish_many([feedback(1), directive(2), feedback(3), feedback(4)])
    backlog = Backlog(outbox)
    rows = backlog.after(0, 3)
    fates = (Fate.DELIVERED, Fate.DEAD, Fate.DELIVERED)
    backlog.settle([Settled(row, fate, "") for row, fate in zip(rows, fates, strict=True)])
    now = int(time.time() * 1000)
    assert backlog.prune(Bounds(keep_days=30), now) == 0
    assert backlog.prune(Bounds(keep_days=30), now + 31 * DAY) == 2
    assert [row.sequence for row in outbox.events(1, 9)] == [2, 4], "dead and undelivered ones stay"
    assert read_manifest(backlog, days=None).buckets == ()


def test_delivered_events_make_room_by_size(portal: Portal, outbox: Outbox) -> None:
    portal.publish_many(feedback(number) for number in range(10))
    backlog = Backlog(outbox)
    backlog.settle(delivered(backlog.after(0, 10)))
    size = len(outbox.events(1, 1)[0].body)
    backlog.prune(Bounds(keep_bytes=3 * size), int(time.time() * 1000))
    assert len(outbox.events(1, 10)) == 3


def test_the_mark_only_rises_and_survives_a_torn_write(tmp_path: Path) -> None:
    mark = HighWater(tmp_path / "mark")
    assert mark.read() is None
    for value in (Mark(1, 5), Mark(1, 3), Mark(1, 6)):
        mark.raise_to(value)
    assert HighWater(tmp_path / "mark").read() == Mark(1, 6)
    data = bytearray((tmp_path / "mark").read_bytes())
    for place in (0, 512):
        torn = data.copy()
        torn[place + 12] ^= 1
        (tmp_path / "mark").write_bytes(torn)
        assert HighWater(tmp_path / "mark").read() in (Mark(1, 5), Mark(1, 6))
    (tmp_path / "mark").write_bytes(b"nonsense")
    with pytest.raises(OutboxDamaged, match="unreadable"):
        HighWater(tmp_path / "mark").read()


def test_one_deliverer_at_a_time_and_a_dead_one_is_replaced(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from portalbus.producers.delivery_lock import DeliveryLock\n"
        "lock = DeliveryLock(Path(sys.argv[1])); print(lock.acquire(), flush=True); sys.stdin.read()"
    )
    path = tmp_path / "delivery"
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    mine, twin = DeliveryLock(path), DeliveryLock(path)
    assert not mine.acquire()
    holder.kill()
    holder.communicate()
    assert mine.acquire()
    assert not twin.acquire()
    mine.release()
    assert twin.acquire()
    twin.release()
