"""A lost event on the real bus: asked for, answered by the outbox, and applied in its place, without anybody's hand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bus_events import directive as raw_directive
from bus_events import envelope, value_of
from ledger_facts import assert_sound, one, rows
from losing import losing
from portal_events import feedback
from portalbus.infra.cli.app import run
from portalbus.infra.stack import Endpoints
from portalbus.producers import Bounds, Portal, Receipt
from portalbus.producers.backlog import Backlog
from portalbus.schemas.models import Event
from seeds import fresh_seed
from whole_bus import Bus

HELD = "source.waits-for-gap"


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, ("G22", "H26")).open()
    yield bus
    bus.close()


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    return losing(monkeypatch)


def open_portal(bus: Bus, name: str, **changed: Any) -> Portal:
    settings = {"bootstrap": bus.endpoints.bootstrap, "registry_url": bus.endpoints.registry_url}
    return Portal("H26", name, outbox=bus.folder / "outbox", **(settings | changed))


def publish(portal: Portal, numbers: range, lose: set[str] = frozenset(), *, lost: int = -1) -> list[Receipt]:  # type: ignore[assignment]
    """Publishes feedback; the one with the number `lost` will not reach the lane."""
    receipts = []
    for number in numbers:
        event_id = f"019a9f3c-7b2e-7c41-9d5a-{number:012x}"
        if number == lost:
            lose.add(event_id)
        receipts.append(portal.publish(feedback(number), event_id=event_id))
    return receipts


def finals(bus: Bus, receipts: list[Receipt]) -> list[str]:
    """The final rules on these events, in the order in which they took effect."""
    return [
        rule
        for (rule,) in rows(
            bus.look,
            "select j.rule from ledger.judgement j join ledger.event e using (agency, lane_offset)"
            " where e.event_id = any(%s::uuid[]) and e.claims_id and j.final order by j.position",
            [receipt.event_id for receipt in receipts],
        )
    ]


def order(bus: Bus, receipts: list[Receipt]) -> list[int]:
    """The sequences of these events in the order in which they took effect."""
    found = rows(
        bus.look,
        "select sequence from ledger.event where event_id = any(%s::uuid[]) and claims_id and final order by position",
        [receipt.event_id for receipt in receipts],
    )
    return [sequence for (sequence,) in found]


def test_a_lost_event_is_asked_for_and_healed_within_seconds_and_nobody_else_notices(bus: Bus, lose: set[str]) -> None:
    bus.start_worker()
    bus.start_relay()
    with open_portal(bus, "www") as www, open_portal(bus, "edu") as edu:
        warm = publish(www, range(1, 3)) + publish(edu, range(101, 103))
        bus.wait_until(lambda: len(finals(bus, warm)) == 4, "the bus is warm")
        bus.wait_until(lambda: notices_heard_from(www), "the portal listens")
        start = time.monotonic()
        receipts = publish(www, range(3, 9), lose, lost=4)
        others = publish(edu, range(103, 109))
        bus.wait_until(lambda: len(finals(bus, others)) == 6, "the other portal goes on")
        others_took = time.monotonic() - start
        bus.wait_until(lambda: len(finals(bus, receipts)) == 6, "the lost event is back", within=20)
        healed_took = time.monotonic() - start
    assert set(finals(bus, receipts)) == {"event.accepted"}
    assert order(bus, receipts) == [receipt.sequence for receipt in receipts], "in the order of publishing"
    held = rows(
        bus.look,
        "select distinct e.portal from ledger.judgement j join ledger.event e using"
        " (agency, lane_offset) where j.rule = %s",
        HELD,
    )
    assert held == [("www",)], "only the source that lost an event waited"
    assert one(bus.look, "select count(*) from ledger.notice where record = 'ResendRequested'") == 1
    assert one(bus.look, "select count(*) from ledger.gap") == 0
    assert_sound(bus.look)
    print(f"healed {healed_took:.2f} s after publishing; the other portal took {others_took:.2f} s")
    assert healed_took < 10


def test_fifty_lost_of_two_thousand_are_each_asked_for_once_and_nothing_else_is(bus: Bus, lose: set[str]) -> None:
    random = Random(fresh_seed("what is lost"))
    bus.start_worker()
    bus.start_relay()
    names = ("www", "edu", "tax", "land")
    with ExitStack() as stack:
        portals = [stack.enter_context(open_portal(bus, name)) for name in names]
        warm = [receipt for place, portal in enumerate(portals) for receipt in publish(portal, range(place, place + 1))]
        bus.wait_until(lambda: len(finals(bus, warm)) == len(names), "the bus is warm")
        bus.wait_until(lambda: all(map(notices_heard_from, portals)), "the portals listen")
        numbers = range(10, 2_010)
        missing = set(random.sample(numbers, 50))
        receipts: dict[int, Receipt] = {}
        for number in numbers:
            lost = number if number in missing else -1
            [receipts[number]] = publish(portals[number % len(names)], range(number, number + 1), lose, lost=lost)
        began = time.monotonic()
        bus.wait_until(lambda: len(finals(bus, [*receipts.values()])) == len(numbers), "everything is there", within=60)
        healed = time.monotonic() - began
    asked = rows(
        bus.look,
        "select value ->> 'portal', (value ->> 'first')::int8, (value ->> 'last')::int8 from ledger.notice"
        " where record = 'ResendRequested'",
    )
    places = {(portal, sequence) for portal, first, last in asked for sequence in range(first, last + 1)}
    assert places == {(names[number % len(names)], receipts[number].sequence) for number in missing}
    assert set(finals(bus, [*receipts.values()])) == {"event.accepted"}
    assert one(bus.look, "select count(*) from ledger.gap") == 0
    assert_sound(bus.look)
    print(f"50 of {len(numbers)} lost: all asked for and healed {healed:.1f} s after the last was published")


def notices_heard_from(portal: Portal) -> bool:
    """True when the portal's outbox remembers from where on it listens."""
    with portal._outbox.reading() as connection:
        (place,) = connection.execute("select next_offset from notice_place").fetchone()
    return place is not None


def test_a_portal_that_was_away_answers_when_it_is_back(bus: Bus, lose: set[str]) -> None:
    with open_portal(bus, "www") as portal:
        bus.wait_until(lambda: notices_heard_from(portal), "the portal listens")
        receipts = publish(portal, range(1, 4), lose, lost=2)
        assert portal.flush(30)
    bus.start_worker(PORTALBUS_GAP_HOLD="1")
    bus.start_relay()
    bus.wait_until(lambda: len(finals(bus, receipts)) == 2, "the others go on when time is up")
    assert one(bus.look, "select asked from ledger.gap") >= 1
    with open_portal(bus, "www"):
        bus.wait_until(lambda: len(finals(bus, receipts)) == 3, "the question was waiting for it", within=20)
    assert order(bus, receipts) == [receipts[0].sequence, receipts[2].sequence, receipts[1].sequence]
    assert one(bus.look, "select count(*) from ledger.gap") == 0
    assert_sound(bus.look)


def test_what_the_outbox_no_longer_has_is_noted_as_gone_and_held_events_go_on(bus: Bus, lose: set[str]) -> None:
    with open_portal(bus, "www") as portal:
        bus.wait_until(lambda: notices_heard_from(portal), "the portal listens")
        receipts = publish(portal, range(1, 4), lose, lost=2)
        assert portal.flush(30)
        backlog = Backlog(portal._outbox)
        while backlog.prune(Bounds(keep_bytes=0), int(time.time() * 1000)):
            pass
        start = time.monotonic()
        bus.start_worker(PORTALBUS_GAP_HOLD="600")
        bus.start_relay()
        bus.wait_until(lambda: len(finals(bus, receipts)) == 2, "the source says that it is gone", within=40)
        print(f"gone was said {time.monotonic() - start:.1f} s after the start of the worker")
    assert rows(bus.look, "select first, last, state, ask_at from ledger.gap") == [
        (receipts[1].sequence, receipts[1].sequence, "gone", None)
    ]
    assert_sound(bus.look)


def test_time_runs_out_where_nobody_answers_and_an_operator_gives_up(
    bus: Bus, capsys: pytest.CaptureFixture[str]
) -> None:
    bus.start_worker(PORTALBUS_GAP_HOLD="2")
    bus.start_relay()

    def say(*sequences: int) -> None:
        events = [Event(envelope(n, "H26", n), raw_directive(f"d-{n}")) for n in sequences]
        bus.publish("H26", [(event.key.encode(), value_of(event, bus.schema_ids)) for event in events])

    def status_of(sequence: int) -> str | None:
        found = rows(bus.look, "select rule from ledger.event where sequence = %s", sequence)
        return str(found[0][0]) if found else None

    say(1, 3, 4)
    bus.wait_until(lambda: status_of(4) == HELD, "what comes behind the gap is held")
    bus.wait_until(lambda: status_of(4) == "event.accepted", "time runs out on a lane that says nothing more")
    waited = rows(bus.look, "select extract(epoch from judged_at - received_at) from ledger.event where sequence = 4")
    took = float(waited[0][0])
    with capsys.disabled():
        print(f"held for {took:.1f} s with a bound of 2 s on a lane that says nothing more")
    assert 1 < took < 2 + 5 + 3, "the bound, five seconds for a quiet lane, and some for a slow machine"
    assert (status_of(3), one(bus.look, "select state from ledger.gap")) == ("event.accepted", "open")
    bus.wait_until(lambda: one(bus.look, "select asked from ledger.gap") > 1, "it is asked for again", within=30)

    url = ["--database-url", bus.database_url]
    assert run(["gaps", "list", "--agency", "G22", *url]) == 0
    assert run(["gaps", "list", "--json", *url]) == 1
    assert [(gap["first"], gap["last"], gap["state"]) for gap in answered(capsys)] == [(2, 2, "open")]
    assert run(["gaps", "close", "H26", "www", "5", "--why", "x", *url]) == 1
    assert run(["gaps", "close", "H26", "www", "7-3", "--why", "x", *url]) == 2
    assert run(["gaps", "close", "H26", "www", "2", "--why", "the server burned", "--who", "an", *url]) == 0
    assert run(["gaps", "list", *url]) == 0
    assert rows(bus.look, "select first, last, closed_by, why from ledger.gap_closing") == [
        (2, 2, "an", "the server burned")
    ]
    say(6)
    bus.wait_until(lambda: status_of(6) == HELD, "a second gap")
    assert run(["gaps", "close", "H26", "www", "5", "--why", "the server burned too", *url]) == 0
    bus.wait_until(lambda: status_of(6) == "event.accepted", "held events go on when their gap is closed")
    say(2)
    bus.wait_until(lambda: status_of(2) == "event.accepted", "what comes after all is applied all the same")
    assert_sound(bus.look)


def answered(capsys: pytest.CaptureFixture[str]) -> Any:
    """The JSON that a command printed last."""
    text = capsys.readouterr().out
    return json.loads(text[text.index("[") :])
