"""A subscription on the real bus: everything accepted, once, in the ledger's order, whoever is killed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from bus_events import Lane, answer, directive, receipt, value_of
from ledger_facts import rows
from portalbus.infra.stack import Endpoints
from portalbus.producers.subscription import Subscription
from portalbus.schemas.models import DirectivePublished, FeedbackReceived, FeedbackResolved, Payload
from whole_bus import Bus

AGENCIES = ("G22", "H26")
SUBSCRIBER = Path(__file__).parents[1] / "support" / "subscribing_process.py"
ACCEPTED = """
select j.position, e.event_id::text from ledger.judgement j join ledger.event e using (agency, lane_offset)
where j.status = 'ACCEPTED' and j.canonical is not null order by j.position"""


class Centre:
    """A running worker and relay, and portals that publish."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._lanes = {agency: Lane(agency) for agency in AGENCIES}
        self._number = 0
        bus.start_worker()
        bus.start_relay()

    def publish(self, count: int) -> None:
        """Cases with their answers, and directives; every seventh is refused."""
        for agency, lane in self._lanes.items():
            said: list[Payload] = []
            for _ in range(count):
                self._number += 1
                case = f"{agency}-{self._number:06}"
                said.append(receipt(case, self._number, addressed_to="X99" if self._number % 7 == 0 else agency))
                said.append(answer(case))
                said.append(directive(f"d-{self._number}"))
            events = [lane.say(payload).content.event for payload in said]  # type: ignore[union-attr]
            self.bus.publish(agency, [(e.key.encode(), value_of(e, self.bus.schema_ids)) for e in events])

    def accepted(self) -> list[tuple[int, str]]:
        """Positions and ids of what was accepted, once everything was judged and sent."""
        bus = self.bus
        bus.wait_until(lambda: all(bus.next_offset(a) == len(lane.items) for a, lane in self._lanes.items()), "judging")
        bus.wait_until(
            lambda: rows(bus.look, "select max(position) from ledger.relayed") == [(bus.position(),)], "the relay"
        )
        return [(int(position), str(event_id)) for position, event_id in rows(bus.look, ACCEPTED)]

    def subscription(self, place: Path, **options: object) -> Subscription:
        """A subscription of this bus."""
        ends = self.bus.endpoints
        return Subscription(place, bootstrap=ends.bootstrap, registry_url=ends.registry_url, **options)  # type: ignore[arg-type]


@pytest.fixture
def centre(endpoints: Endpoints, tmp_path: Path) -> Iterator[Centre]:
    bus = Bus(endpoints, tmp_path, AGENCIES).open()
    yield Centre(bus)
    bus.close()


def test_each_accepted_event_once_in_ledger_order_over_restarts_and_again_from_the_start(
    centre: Centre, tmp_path: Path
) -> None:
    centre.publish(60)
    place = tmp_path / "place.json"
    accepted = centre.accepted()
    with centre.subscription(place) as subscription:
        events = list(subscription.events(wait=3))
        first = [(event.position, event.envelope.id) for event in events]
        assert subscription.behind() == 0
    assert first == accepted
    assert len(first) > 200
    now = datetime.now(UTC)
    for event in events:
        later = isinstance(event.payload, FeedbackResolved)
        assert later is (event.shown_from is not None and event.shown_from > now), "nobody shows an answer unknowingly"
    centre.publish(10)
    accepted = centre.accepted()
    with centre.subscription(place) as subscription:
        batches = subscription.batches(most=7, wait=3)
        left_in_the_middle = next(batches)
        assert [event.position for event in left_in_the_middle] == [
            position for position, _ in accepted[len(first) :][:7]
        ]
        second = [(event.position, event.envelope.id) for event in subscription.events(wait=3)]
        assert second == accepted[len(first) :], "a batch that was not done comes again"
        subscription.rebuild()
        assert [event.position for event in subscription.events(wait=3)] == [position for position, _ in accepted]


def test_who_wants_only_some_gets_only_those(centre: Centre, tmp_path: Path) -> None:
    centre.publish(20)
    centre.accepted()
    chosen = {"types": [DirectivePublished], "agencies": ["H26"]}
    with centre.subscription(tmp_path / "place.json", **chosen) as subscription:
        found = list(subscription.events(wait=3))
        assert {(event.payload.event_type, event.envelope.agency) for event in found} == {("DirectivePublished", "H26")}
        assert len(found) == 20
        assert subscription.behind() == 0
    with centre.subscription(tmp_path / "place.json", **chosen) as subscription:
        assert list(subscription.events(wait=1)) == []
    with centre.subscription(tmp_path / "cases.json", types=[FeedbackReceived]) as subscription:
        cases = [type(event.payload) for event in subscription.events(wait=3)]
        assert cases
        assert set(cases) == {FeedbackReceived}


def test_a_subscriber_killed_at_any_instant_misses_nothing_and_with_its_own_transaction_repeats_nothing(
    centre: Centre, tmp_path: Path
) -> None:
    random, kills = Random(5), 0
    environment = {
        **os.environ,
        "PORTALBUS_BOOTSTRAP": centre.bus.endpoints.bootstrap,
        "PORTALBUS_REGISTRY": centre.bus.endpoints.registry_url,
    }
    effects, own = tmp_path / "effects", tmp_path / "own.sqlite"

    def start(*options: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(SUBSCRIBER), *options], env=environment)

    commands = ((str(tmp_path / "place"), str(effects)), (str(own), "-", "--own"))
    database = sqlite3.connect(own)

    def taken() -> list[tuple[int, str]]:
        lines = effects.read_text().splitlines() if effects.exists() else []
        return [(int(position), event_id) for position, event_id in map(str.split, lines)]

    def own_ones() -> list[str]:
        return [event_id for (event_id,) in database.execute("select event_id from effect order by number")]

    subscribers = [start(*command) for command in commands]
    try:
        for _ in range(5):
            centre.publish(20)
            _wait_until(time.monotonic() + random.uniform(0.6, 2.0))
            for number, command in enumerate(commands):
                subscribers[number].kill()
                subscribers[number].wait()
                subscribers[number] = start(*command)
                kills += 1
        accepted = centre.accepted()
        centre.bus.wait_until(lambda: set(taken()) == set(accepted) and len(own_ones()) >= len(accepted), "the end")
    finally:
        for subscriber in subscribers:
            subscriber.kill()
            subscriber.wait()
    assert own_ones() == [event_id for _, event_id in accepted], "once each, in order"
    assert list(dict.fromkeys(taken())) == accepted, "what comes again came in order before"
    print(f"\n{kills} kills, {len(accepted)} events, {len(taken()) - len(accepted)} came again without a transaction")


def _wait_until(instant: float) -> None:
    """The moment of the next kill; nothing has to happen before it."""
    time.sleep(max(instant - time.monotonic(), 0))
