"""Real processes without one of their defences: the checker that all tests share has to turn red, and at once.

Many more defences are switched off in the simulator; these two show that what real processes do is seen as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from bus_events import envelope, receipt, value_of
from history_recorder import HistoryFile
from history_report import Report
from killing import judged_history, judging_meanwhile
from online_checker import OnlineChecker
from portalbus.infra.stack import Endpoints
from portalbus.schemas.models import Event
from portalbus.streams.relaying.position import read_position
from promises import BrokenPromise
from whole_bus import Bus

AGENCY = "H26"
EVENTS = 40
SEAM = str(Path(__file__).parents[1] / "support" / "careless_seam")


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, [AGENCY]).open()
    yield bus
    bus.close()


def publish(bus: Bus, numbers: Iterable[int], times: int = 1) -> Path:
    """A source's events, and all of them again, as after answers that got lost; returns the history of it."""
    history, records = HistoryFile(bus.folder / "history.ndjson"), []
    for number in numbers:
        event = Event(envelope(number, AGENCY, number), receipt(f"{AGENCY}-{number:06}", number))
        records.append((event.key.encode(), value_of(event, bus.schema_ids)))
        named = {"id": event.envelope.id, "source": f"{AGENCY}/www"}
        history.put([{"saw": "attempted", **named}, {"saw": "acknowledged", **named, "epoch": 1, "sequence": number}])
    history.close()
    bus.publish(AGENCY, records * times)
    return bus.folder / "history.ndjson"


def come_to_rest(bus: Bus, records: int) -> None:
    bus.wait_until(lambda: bus.next_offset(AGENCY) == records, "everything to be judged")
    bus.wait_until(lambda: last_sent(bus) == bus.position(), "everything to be sent")


def last_sent(bus: Bus) -> int:
    return read_position(bus.endpoints.bootstrap)


def judged_without(bus: Bus, defence: str) -> tuple[OnlineChecker, Report]:
    """What the checker says of events that came twice and a relay that was started twice, without a defence.

    First while it happens, then when all is at rest.
    """
    careless = {"PYTHONPATH": SEAM, "PORTALBUS_TEST_WITHOUT": defence}
    if defence == "unique-event-id":  # it is held twice: by the judge, and by an index
        bus.look.execute("drop index ledger.event_id_once")
    history = publish(bus, range(1, EVENTS), times=2)
    with judging_meanwhile(bus, history, [AGENCY], lambda: f"without {defence}", every=0.2) as online:
        bus.start_worker(**careless)
        relay = bus.start_relay()
        come_to_rest(bus, 2 * (EVENTS - 1))
        assert relay.stop() == 0
        bus.start_relay(**careless, PORTALBUS_RELAY_AFTER="0")
        publish(bus, [EVENTS])  # behind everything that it may send again
        come_to_rest(bus, 2 * EVENTS - 1)
        if defence:
            bus.wait_until(lambda: not online.report.clean, "the broken promise to be told", within=10)
        else:
            online.finish(within=10)
    return online, judged_history(bus, history, [AGENCY])


@pytest.mark.chaos
def test_with_every_defence_nothing_is_doubled(bus: Bus) -> None:
    online, report = judged_without(bus, "")
    report.must_be_clean()
    online.must_have_seen(report)


@pytest.mark.parametrize("defence", ["unique-event-id", pytest.param("position-topic", marks=pytest.mark.chaos)])
def test_without_a_defence_the_checker_sees_what_real_processes_do(bus: Bus, defence: str) -> None:
    online, report = judged_without(bus, defence)
    print(f"\nwithout {defence}: {report.figures()}")
    assert not report.clean
    with pytest.raises(BrokenPromise, match=f"without {defence}"):
        online.must_be_clean()
