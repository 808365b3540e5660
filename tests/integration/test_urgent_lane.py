"""Urgent cases on the real bus: ahead of what is queued, judged in their turn, off the list when they are refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bus_events import SCHEMA_IDS, Lane, answer, directive, receipt, value_of, writers
from ledger_facts import one
from portalbus.infra.stack import Endpoints
from portalbus.producers.testing import a_step
from portalbus.schemas.codec import Decoded
from portalbus.schemas.directory import directory as agencies
from portalbus.schemas.law.calendar import WorkingCalendar
from portalbus.schemas.law.regimes import Regimes
from portalbus.schemas.models import CaseStep, CaseUrgency, Payload
from portalbus.schemas.registration import SchemaIds
from portalbus.schemas.registry import SchemaRegistry
from portalbus.streams.casework.ahead import Ahead
from portalbus.streams.casework.caseworker import Caseworker
from portalbus.streams.casework.deriving import Law
from portalbus.streams.casework.scout import Scout
from portalbus.streams.casework.urgency import UrgencyProbe
from portalbus.streams.decoding.decoder import Decoder
from portalbus.streams.ledger.database import connect
from urgent_queue import AGENCIES, UrgentQueue
from whole_bus import Bus

QUEUED = 4_000


@pytest.fixture
def queue(endpoints: Endpoints, tmp_path: Path) -> Iterator[UrgentQueue]:
    bus = Bus(endpoints, tmp_path, AGENCIES).open()
    try:
        yield UrgentQueue(bus)
    finally:
        bus.close()


def test_an_urgent_case_is_on_the_list_while_what_came_before_it_waits_to_be_judged(queue: UrgentQueue) -> None:
    queue.queue("H56", QUEUED)
    casework = queue.start_casework()
    first = queue.urgent("H56")
    queue.seconds_to_list(first)
    seconds = [queue.seconds_to_list(queue.urgent("H56")) for _ in range(10)]
    assert max(seconds) < 2
    assert queue.bus.next_offset("H56") == 0
    refused = queue.urgent("H56", code=1)  # the public code of another case
    queue.seconds_to_list(refused)
    queue.bus.start_worker()
    queue.bus.wait_until(lambda: queue.bus.next_offset("H56") == QUEUED + 12, "judging")
    look = queue.bus.look
    queue.bus.wait_until(lambda: one(look, "select count(*) from casework.ahead") == 0, "settling")
    queue.bus.wait_until(lambda: one(look, "select position from casework.place") == queue.bus.position(), "casework")
    assert queue.listed(first)
    assert not queue.listed(refused)
    assert one(look, "select count(*) from casework.case") == QUEUED + 11
    assert one(look, "select count(*) from casework.case where position = 0") == 0
    assert casework.stop() == 0


def test_the_scout_leaps_to_the_end_of_a_queue_and_finds_what_it_leapt_over(queue: UrgentQueue) -> None:
    queue.queue("H56", 2 * QUEUED)  # more than it takes at once
    buried = queue.urgent("H56")
    queue.queue("H56", QUEUED)
    last = queue.urgent("H56")
    known = SchemaIds(SchemaRegistry(queue.bus.endpoints.registry_url)).lane_writers()
    stop = threading.Event()
    with (
        connect(queue.bus.database_url, application="scout", autocommit=True) as connection,
        Decoder(known) as decoder,
        capture_logs() as logs,
    ):
        worker = Caseworker(connection, known, Law(0, WorkingCalendar.read(), Regimes.read()))
        worker.start()
        ahead, bootstrap = Ahead(connection, worker), queue.bus.endpoints.bootstrap
        scout = Scout(bootstrap, ahead, UrgencyProbe(known), decoder, agencies(), leap=500)
        scouting = threading.Thread(target=scout.run, args=(stop,))
        scouting.start()
        try:
            queue.bus.wait_until(lambda: [line for line in logs if line["event"] == "scout.leapt"], "the leap")
            leap = next(line for line in logs if line["event"] == "scout.leapt")
            assert leap["end"] == 3 * QUEUED + 2 - 500, "what came last is not leapt over"
            queue.seconds_to_list(last)
            queue.seconds_to_list(queue.urgent("H56"))  # its decoder is up from now on
            assert queue.seconds_of_an_urgent_one("H56") < 2
            queue.seconds_to_list(buried)
        finally:
            stop.set()
            scouting.join()


@pytest.mark.parametrize(
    ("payload", "urgent"),
    [
        (receipt(urgency=CaseUrgency.URGENT), True),
        (receipt(urgency=CaseUrgency.URGENT, field="giao-thong", area="01", subject="x" * 500), True),
        (receipt(field="URGENT"), False),
        (a_step("H26-0001", CaseStep.ACKNOWLEDGED), True),
        (a_step("H26-0001", CaseStep.URGENCY_CHANGED), True),
        (a_step("H26-0001", CaseStep.ACCEPTED), False),
        (answer(), False),
        (directive(), False),
    ],
)
def test_the_probe_tells_urgency_from_the_bytes(payload: Payload, urgent: bool) -> None:
    probe = UrgencyProbe(writers())
    item = Lane("H26").say(payload, correlation_id="c" * 128)
    assert isinstance(item.content, Decoded)
    value = value_of(item.content.event, SCHEMA_IDS)
    assert probe.is_urgent(value) is urgent
    assert not any(probe.is_urgent(value[:end]) for end in range(60))
    assert not probe.is_urgent(None)
