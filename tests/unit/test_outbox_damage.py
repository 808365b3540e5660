"""An outbox that lost something says so; nothing is ever silently shortened."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from portal_events import feedback
from portalbus.producers import Bounds, OutboxDamaged, OutboxUnavailable, Portal, repair_outbox
from portalbus.producers.backlog import Backlog, Fate, Settled
from portalbus.producers.delivery_lock import DeliveryLock
from portalbus.producers.high_water import HighWater, Mark
from portalbus.producers.outbox import Outbox
from portalbus.producers.salvage import placed
from seeds import fresh_seed

EVENTS = 60


def outbox_in(folder: Path) -> Outbox:
    return Outbox(folder, "H26", "www", Bounds())


def publish(folder: Path, first: int, count: int) -> None:
    portal = Portal("H26", outbox=folder, deliver=False)
    for number in range(first, first + count):
        portal.publish(feedback(number))
    portal.close()


def deliver(folder: Path, count: int) -> None:
    """Marks the next events as delivered, as the delivery thread does."""
    outbox = outbox_in(folder)
    backlog = Backlog(outbox)
    rows = backlog.after(outbox.source_row().delivered_sequence, count)
    backlog.settle([Settled(row, Fate.DELIVERED) for row in rows])
    backlog.database.close()
    outbox.close()


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of an outbox in use: file, log and mark as a killed machine leaves them, partly delivered."""
    folder = tmp_path_factory.mktemp("living")
    portal = Portal("H26", outbox=folder, deliver=False)
    for number in range(EVENTS // 2):
        portal.publish(feedback(number))
    deliver(folder, EVENTS // 4)
    with closing(sqlite3.connect(folder / "H26.www.outbox")) as connection:
        connection.execute("pragma wal_checkpoint(passive)")
    for number in range(EVENTS // 2, EVENTS):
        portal.publish(feedback(number))
    copy = tmp_path_factory.mktemp("copy")
    for piece in folder.iterdir():
        if not piece.name.endswith("-shm"):
            shutil.copy(piece, copy)
    portal.close()
    assert (copy / "H26.www.outbox-wal").stat().st_size > 0
    return copy


def hurt(path: Path, chance: random.Random) -> str:
    """Cuts the file or flips some bits, anywhere."""
    data = bytearray(path.read_bytes())
    if chance.random() < 0.5:
        end = chance.randrange(len(data))
        del data[end:]
        done = f"cut at {end}"
    else:
        places = [chance.randrange(len(data)) for _ in range(chance.choice((1, 1, 4, 64)))]
        for place in places:
            data[place] ^= 1 << chance.randrange(8)
        done = f"flipped {places[:4]}"
    path.write_bytes(bytes(data))
    return done


@pytest.mark.parametrize("rounds", [300, pytest.param(1_000, marks=pytest.mark.chaos)])
def test_random_damage_is_noticed_or_harmless(living: Path, tmp_path: Path, rounds: int) -> None:
    """Every acknowledged event is either readable as it was stored, or the outbox refuses to work."""
    first = fresh_seed("damage to an outbox")
    whole = {row.sequence: row for row in outbox_in(shutil.copytree(living, tmp_path / "whole")).events(1, EVENTS)}
    assert len(whole) == EVENTS
    refused = 0
    for seed in range(first, first + rounds):
        chance = random.Random(seed)
        folder = shutil.copytree(living, tmp_path / str(seed))
        target = folder / chance.choice(("H26.www.outbox-wal", "H26.www.outbox-wal", "H26.www.outbox", "H26.www.mark"))
        done = f"seed {seed}: {target.name} {hurt(target, chance)}"
        outbox = outbox_in(folder)
        try:
            outbox.open()
            row = outbox.source_row()
            assert row.last_sequence == EVENTS, done
            pending = Backlog(outbox).after(row.delivered_sequence, EVENTS)
        except (OutboxDamaged, OutboxUnavailable):
            refused += 1
        else:
            assert row.delivered_sequence <= EVENTS // 4, done
            assert pending == [whole[number] for number in range(row.delivered_sequence + 1, EVENTS + 1)], done
        outbox.close()
        shutil.rmtree(folder)
    print(f"{rounds} damaged copies: {refused} refused, {rounds - refused} whole, 0 silently shortened")
    assert refused > rounds // 3


def test_without_the_mark_a_cut_log_would_go_unnoticed(living: Path, tmp_path: Path) -> None:
    """The check above is worth something: take its defence away, and outboxes come back shorter without a word."""
    shortened = 0
    for seed in range(20):
        folder = shutil.copytree(living, tmp_path / str(seed))
        log = folder / "H26.www.outbox-wal"
        log.write_bytes(log.read_bytes()[: random.Random(seed).randrange(log.stat().st_size)])
        (folder / "H26.www.mark").unlink()
        HighWater(folder / "H26.www.mark").raise_to(Mark(1, 0))
        outbox = outbox_in(folder)
        outbox.open()
        shortened += outbox.source_row().last_sequence < EVENTS
        outbox.close()
    assert shortened > 10


def test_repair_keeps_every_readable_event_that_was_not_delivered(living: Path, tmp_path: Path) -> None:
    whole = {row.event_id: row for row in outbox_in(shutil.copytree(living, tmp_path / "whole")).events(1, EVENTS)}
    first = fresh_seed("damage to repair")
    for seed in range(first, first + 40):
        chance = random.Random(seed)
        folder = shutil.copytree(living, tmp_path / str(seed))
        hurt(folder / chance.choice(("H26.www.outbox-wal", "H26.www.outbox")), chance)
        done = repair_outbox(folder, "H26", "www")
        outbox = outbox_in(folder)
        outbox.open()
        row = outbox.source_row()
        kept = outbox.events(1, EVENTS)
        assert (row.epoch, row.last_sequence, row.delivered_sequence) == (2, done.kept, 0), seed
        assert [event.sequence for event in kept] == list(range(1, done.kept + 1)), seed
        for event in kept:
            before = whole[event.event_id]
            assert placed(before, 2, event.sequence) == event, seed
        publish(folder, 5_000, 1)
        shutil.rmtree(folder)


def test_an_old_copy_is_noticed_at_start(tmp_path: Path) -> None:
    publish(tmp_path / "now", 0, 5)
    shutil.copytree(tmp_path / "now", tmp_path / "backup")
    publish(tmp_path / "now", 5, 3)
    shutil.copy(tmp_path / "backup" / "H26.www.outbox", tmp_path / "now" / "H26.www.outbox")
    portal = Portal("H26", outbox=tmp_path / "now", deliver=False)
    with pytest.raises(OutboxDamaged, match=r"ends at event 5 of epoch 1, but event 8 .*`portalbus outbox repair`"):
        portal.publish(feedback(9))
    assert "portalbus outbox repair" in str(portal.status().damaged)


def test_an_old_copy_is_noticed_though_a_power_cut_had_set_the_mark_back(tmp_path: Path) -> None:
    publish(tmp_path / "now", 0, 5)
    shutil.copytree(tmp_path / "now", tmp_path / "backup")
    publish(tmp_path / "now", 5, 3)
    shutil.copy(tmp_path / "backup" / "H26.www.mark", tmp_path / "now" / "H26.www.mark")
    outbox = outbox_in(tmp_path / "now")
    outbox.open()  # the machine is up again, and nothing is published
    outbox.close()
    shutil.copy(tmp_path / "backup" / "H26.www.outbox", tmp_path / "now" / "H26.www.outbox")
    with pytest.raises(OutboxDamaged, match=r"ends at event 5 of epoch 1, but event 8 "):
        outbox_in(tmp_path / "now").open()


def test_an_old_copy_under_a_running_portal_is_noticed_at_the_next_publish(tmp_path: Path) -> None:
    publish(tmp_path / "now", 0, 5)
    shutil.copytree(tmp_path / "now", tmp_path / "backup")
    publish(tmp_path / "now", 5, 3)
    portal = Portal("H26", outbox=tmp_path / "backup", deliver=False)
    portal.publish(feedback(100))
    shutil.copy(tmp_path / "now" / "H26.www.mark", tmp_path / "backup" / "H26.www.mark")
    portal._outbox.mark.close()
    with pytest.raises(OutboxDamaged, match="event 8"):
        portal.publish(feedback(101))


@pytest.mark.parametrize(
    ("missing", "words"), [("H26.www.outbox", "is gone, but 3 events"), ("H26.www.mark", "mark is gone")]
)
def test_a_missing_file_is_noticed(tmp_path: Path, missing: str, words: str) -> None:
    publish(tmp_path, 0, 3)
    (tmp_path / missing).unlink()
    with pytest.raises(OutboxDamaged, match=words):
        outbox_in(tmp_path).open()
    assert repair_outbox(tmp_path, "H26", "www").epoch == 2
    publish(tmp_path, 3, 1)


def test_the_outbox_of_another_source_is_refused(tmp_path: Path) -> None:
    publish(tmp_path, 0, 1)
    for piece in list(tmp_path.iterdir()):
        piece.rename(piece.with_name(piece.name.replace("www", "other")))
    with pytest.raises(OutboxDamaged, match="belongs to H26/www, not to H26/other"):
        Outbox(tmp_path, "H26", "other", Bounds()).open()


def test_repair_after_an_old_copy_counts_what_is_missing(tmp_path: Path) -> None:
    publish(tmp_path / "now", 0, 5)
    shutil.copytree(tmp_path / "now", tmp_path / "backup")
    publish(tmp_path / "now", 5, 3)
    shutil.copy(tmp_path / "backup" / "H26.www.outbox", tmp_path / "now" / "H26.www.outbox")
    done = repair_outbox(tmp_path / "now", "H26", "www")
    assert (done.epoch, done.kept, done.altered, done.missing) == (2, 5, 0, 3)
    assert done.aside is not None and done.aside.exists()
    portal = Portal("H26", outbox=tmp_path / "now", deliver=False)
    receipt = portal.publish(feedback(9))
    assert (receipt.epoch, receipt.sequence) == (2, 6)


def test_a_repair_that_was_killed_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, 0, 4)
    (tmp_path / "H26.www.mark").unlink()
    for step in ("_set_aside", "_row_of"):
        with monkeypatch.context() as patch:

            def killed(*_: object) -> None:
                raise KeyboardInterrupt

            patch.setattr(f"portalbus.producers.repair.{step}", killed)
            with pytest.raises(KeyboardInterrupt):
                repair_outbox(tmp_path, "H26", "www")
    assert repair_outbox(tmp_path, "H26", "www").kept == 4
    assert outbox_in(tmp_path).source_row().last_sequence == 4


def test_an_outbox_in_delivery_is_not_repaired(tmp_path: Path) -> None:
    publish(tmp_path, 0, 1)
    lock = DeliveryLock(tmp_path / "H26.www.delivery")
    assert lock.acquire()
    with pytest.raises(OutboxUnavailable, match="stop it first"):
        repair_outbox(tmp_path, "H26", "www")
    lock.release()


# ---- a mark that cannot be written or read -----------------------------------------------------------------------


def failing(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def failed(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, call, failed)


def test_what_was_committed_is_acknowledged_also_when_its_mark_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, 0, 1)
    failing(monkeypatch, "pwrite")
    publish(tmp_path, 1, 2)
    monkeypatch.undo()
    publish(tmp_path, 3, 1)
    outbox = outbox_in(tmp_path)
    assert [event.sequence for event in outbox.events(1, 9)] == [1, 2, 3, 4], "nobody was told to say it again"
    assert outbox.mark.read() == Mark(1, 4)
    outbox.close()


def test_where_the_mark_cannot_be_read_nothing_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Portal("H26", outbox=tmp_path, deliver=False) as portal:
        portal.publish(feedback(0))
        failing(monkeypatch, "pread")
        with pytest.raises(OutboxUnavailable, match="nothing was stored"):
            portal.publish(feedback(1))
        monkeypatch.undo()
        assert portal.status().last_sequence == 1
