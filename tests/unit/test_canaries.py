"""Canaries of the SDK: when they are sent, what they tell, and that they leave the portal's events alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from portal_events import feedback
from portalbus.producers import Portal
from portalbus.producers.backlog import Backlog, Fate, Settled
from portalbus.producers.canaries import Canaries
from portalbus.producers.draft import Drafter
from portalbus.producers.outbox import Outbox
from portalbus.producers.settings import Bounds, Settings
from portalbus.producers.stored_event import StoredEvent, id_text
from portalbus.schemas import avro_files
from portalbus.schemas.codec import WriterSchemas, frame, read
from portalbus.schemas.models import Canary


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path, "H26", "www", Bounds())


def settings(outbox: Outbox, canary: float = 300.0) -> Settings:
    return Settings("H26", "www", "", "", outbox.folder, canary=canary, deliver=False)


def sent(outbox: Outbox) -> list[StoredEvent]:
    return outbox.events(1, outbox.source_row().last_sequence)


def told(event: StoredEvent) -> Canary:
    found = read(frame(1, event.body), WriterSchemas({1: ("Canary", avro_files.current("Canary").raw)}))
    payload = found.event.payload  # type: ignore[union-attr]
    assert isinstance(payload, Canary)
    return payload


def deliver(outbox: Outbox) -> None:
    backlog = Backlog(outbox)
    row = backlog.source_row()
    backlog.settle([Settled(event, Fate.DELIVERED) for event in backlog.after(row.delivered_sequence, 100)])


def test_the_first_canary_comes_after_one_interval_and_the_next_after_another(outbox: Outbox, clock: Clock) -> None:
    canaries = Canaries(settings(outbox), outbox, clock)
    counts = []
    for clock.now in (0, 299, 300, 301, 600):
        canaries.send_if_due()
        counts.append(len(sent(outbox)))
        deliver(outbox)
    assert counts == [0, 0, 1, 1, 2]
    assert [event.key for event in sent(outbox)] == ["H26/~canary"] * 2


def test_zero_sends_none_and_less_is_refused(outbox: Outbox, clock: Clock) -> None:
    canaries = Canaries(settings(outbox, 0), outbox, clock)
    clock.now = 1e9
    canaries.send_if_due()
    assert sent(outbox) == []
    with pytest.raises(ValueError, match="canary -1"):
        Portal("H26", outbox=outbox.folder, deliver=False, canary=-1)


def test_only_one_waits_for_the_broker(outbox: Outbox, clock: Clock) -> None:
    canaries = Canaries(settings(outbox), outbox, clock)
    for clock.now in range(300, 30_000, 300):
        canaries.send_if_due()
    assert len(sent(outbox)) == 1
    deliver(outbox)
    clock.now += 300
    canaries.send_if_due()
    assert len(sent(outbox)) == 2


def test_the_next_canary_tells_how_the_last_one_came_back(outbox: Outbox, clock: Clock) -> None:
    canaries = Canaries(settings(outbox), outbox, clock)
    for clock.now in (300, 600, 900):
        canaries.send_if_due()
        deliver(outbox)
    assert [told(event).unreturned for event in sent(outbox)] == [0, 1, 2]
    clock.now = 900.25
    canaries.heard(id_text(sent(outbox)[-1].event_id).encode())
    canaries.heard(b"something else")
    canaries.heard(None)
    clock.now = 1_200
    canaries.send_if_due()
    last = told(sent(outbox)[-1])
    assert (last.returned_id, last.round_trip_ms, last.unreturned) == (id_text(sent(outbox)[-2].event_id), 250, 0)
    assert last.interval_s == 300


def test_a_full_outbox_has_no_room_for_a_canary_and_takes_no_harm(tmp_path: Path, clock: Clock) -> None:
    outbox = Outbox(tmp_path, "H26", "www", Bounds(rows=2))
    drafter = Drafter("H26", "www")
    outbox.append([drafter.draft(feedback(1)), drafter.draft(feedback(2))])
    canaries = Canaries(settings(outbox), outbox, clock)
    clock.now = 300
    canaries.send_if_due()
    assert len(sent(outbox)) == 2
