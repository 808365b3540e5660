"""A version of a contract that is registered while workers run, and a registry that is away meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bus_events import envelope, progress, receipt
from ledger_facts import assert_sound, one, rows
from portalbus.infra.stack import Endpoints
from portalbus.schemas import avro_files
from portalbus.schemas.codec import encode_envelope, encode_payload, frame
from portalbus.schemas.errors import RegistryRefused
from portalbus.schemas.headers import cloudevents_headers
from portalbus.schemas.models import CaseStep, Event, Payload
from portalbus.schemas.registration import LaneSchemas, SchemaIds
from portalbus.schemas.registry import SchemaRegistry
from portalbus.streams.decoding.contents import UNKNOWN_SCHEMA
from portalbus.streams.reading.proof import prove_verdicts
from registry_view import RegistryView
from whole_bus import Bus, Running

AGENCIES = ("H26", "H29")
FOREIGN = 0x00ABCDEF
WITHIN_S = 15.0
"""From the moment at which the registry can say it."""
NEWEST = avro_files.current("FeedbackReceived")


@pytest.fixture
def bus(endpoints: Endpoints, tmp_path: Path) -> Iterator[Bus]:
    bus = Bus(endpoints, tmp_path, AGENCIES).open()
    yield bus
    bus.close()


@pytest.fixture
def view(endpoints: Endpoints) -> Iterator[RegistryView]:
    """A registry that holds everything but the newest version of FeedbackReceived."""
    view = RegistryView(endpoints.registry_url)
    view.register_all_but(NEWEST.name, NEWEST.version)
    yield view
    view.cut()


class Source:
    """The portal of an agency, which says in its order what it is told to say."""

    def __init__(self, bus: Bus, agency: str) -> None:
        self._bus = bus
        self._agency = agency
        self._sequence = 0

    def say(self, payload: Payload, schema_id: int, version: int | None = None) -> None:
        """Publishes the next event, written by a version of its contract under this schema id."""
        self._sequence += 1
        number = (AGENCIES.index(self._agency) + 1) * 1_000_000 + self._sequence
        event = Event(envelope(number, self._agency, self._sequence), payload)
        value = frame(schema_id, encode_envelope(event.envelope) + encode_payload(payload, version))
        headers = cloudevents_headers(event.envelope, payload.event_type)
        self._bus.publish_records(self._agency, [(event.key.encode(), value, headers)])


def on_machine(bus: Bus, view: RegistryView, name: str) -> dict[str, str]:
    """The environment of a process with a memory of its own, as on a machine of its own."""
    return {"PORTALBUS_REGISTRY": view.url, "PORTALBUS_SCHEMA_CACHE": str(bus.folder / name / "schema-ids.json")}


def start_worker(bus: Bus, view: RegistryView, name: str) -> Running:
    """A worker there."""
    return bus.start_worker(**on_machine(bus, view, name))


def rules(bus: Bus, agency: str) -> list[str]:
    """The last verdict of each record of a lane."""
    return [
        rule
        for (rule,) in rows(bus.look, "select rule from ledger.event where agency = %s order by lane_offset", agency)
    ]


def proven(bus: Bus) -> None:
    """Every record has its one verdict, or is listed as open."""
    assert_sound(bus.look)
    with psycopg.connect(bus.database_url) as connection:
        assert prove_verdicts(connection).problems == ()


def test_a_version_that_is_registered_while_workers_run_is_taken_in_without_hands(bus: Bus, view: RegistryView) -> None:
    """Through a registry that is away for a while, and the death of a worker that then has to start without it."""
    workers = [start_worker(bus, view, name) for name in ("one", "other")]
    bus.wait_until(lambda: sorted(map(bus.lanes_of, workers)) == [1, 1], "a lane for each worker")
    for worker in workers:
        (told,) = worker.said("schemas.unregistered")
        assert told["versions"] == [f"{NEWEST.name} {NEWEST.version}"]
    h26, h29 = Source(bus, "H26"), Source(bus, "H29")
    before = view.register(avro_files.history(NEWEST.name)[-2])
    step = view.register(avro_files.current("FeedbackProgressed"))
    # Registered behind the workers' back, and used at once, while nobody can ask.
    view.cut()
    for worker in workers:
        bus.wait_until(lambda worker=worker: worker.said("schemas.not-learned"), "the registry is missed")  # type: ignore[misc]
    new = view.register(NEWEST)
    for source, agency in ((h26, "H26"), (h29, "H29")):
        number = AGENCIES.index(agency) * 100
        source.say(receipt(f"{agency}-0001", number + 1), new)
        source.say(progress(CaseStep.ACCEPTED, f"{agency}-0001"), step)
        source.say(receipt(f"{agency}-0002", number + 2), before, NEWEST.version - 1)
        source.say(receipt(f"{agency}-0003", number + 3), FOREIGN)
        parked = [UNKNOWN_SCHEMA, "key.parked-before", "event.accepted", UNKNOWN_SCHEMA]
        bus.wait_until(lambda agency=agency, parked=parked: rules(bus, agency) == parked, "what is parked")  # type: ignore[misc]
    workers[0].kill()
    again = start_worker(bus, view, "one")
    bus.wait_until(lambda: again.said("schemas.not-learned"), "a worker that starts without the registry")
    assert rules(bus, "H26")[0] == UNKNOWN_SCHEMA

    view.mend()
    settled = ["event.accepted"] * 3 + [UNKNOWN_SCHEMA]
    took = bus.wait_until(lambda: all(rules(bus, agency) == settled for agency in AGENCIES), "all of it", WITHIN_S)
    h26.say(receipt("H26-0004", 4), new)
    bus.wait_until(lambda: rules(bus, "H26") == [*settled, "event.accepted"], "what comes later")
    for agency in AGENCIES:
        finally_judged = "select lane_offset from ledger.judgement where agency = %s and final order by position"
        order = [offset for (offset,) in rows(bus.look, finally_judged, agency)]
        assert order.index(0) < order.index(1)
    assert rows(bus.look, "select agency, lane_offset from ledger.parked where state = 'parked' order by 1") == [
        ("H26", 3),
        ("H29", 3),
    ]
    assert one(bus.look, "select string_agg(distinct decided_by, ',') from ledger.parked") == "worker"
    proven(bus)
    for worker in (workers[1], again):
        bus.wait_until(lambda worker=worker: worker.said("schemas.learned"), "every worker learns it")  # type: ignore[misc]
        assert worker.process.poll() is None, worker.text()
    print(f"\nlearned, and judged what was parked, {took:.1f} s after the registry could say it")


def test_nothing_is_parked_that_comes_at_once_under_a_version_just_registered(bus: Bus, view: RegistryView) -> None:
    worker = start_worker(bus, view, "one")
    bus.wait_until(lambda: bus.lanes_of(worker) == len(AGENCIES), "its lanes")
    assert worker.said("schemas.unregistered")
    new = view.register(NEWEST)
    sources = [Source(bus, agency) for agency in AGENCIES]
    for number in range(1, 101):
        for place, source in enumerate(sources):
            source.say(receipt(f"{AGENCIES[place]}-{number:04}", place * 1_000 + number), new)
    bus.wait_until(lambda: all(rules(bus, agency) == ["event.accepted"] * 100 for agency in AGENCIES), "all of it")
    assert one(bus.look, "select count(*) from ledger.parked") == 0
    assert worker.process.poll() is None, worker.text()


def test_a_registry_with_another_history_is_refused(view: RegistryView) -> None:
    raw = NEWEST.raw
    raw["fields"].append({"name": "of_somebody_else", "type": ["null", "string"], "default": None})
    view.register(avro_files.AvroFile(NEWEST.name, NEWEST.version, json.dumps(raw)))
    with pytest.raises(RegistryRefused, match="1 versions that are not shipped here"):
        LaneSchemas(SchemaIds(SchemaRegistry(view.url)))


def test_casework_and_early_warning_start_without_it_too_and_learn_it(bus: Bus, view: RegistryView) -> None:
    casework, warning = (start(**on_machine(bus, view, "one")) for start in (bus.start_casework, bus.start_warning))
    for process, started in ((casework, "casework.started"), (warning, "warning.started")):
        bus.wait_until(lambda process=process, started=started: process.said(started), started)  # type: ignore[misc]
        assert process.said("schemas.unregistered")
    new = view.register(NEWEST)
    bus.wait_until(lambda: warning.said("schemas.learned"), "early warning learns it")
    start_worker(bus, view, "other")
    Source(bus, "H26").say(receipt("H26-0001", 1), new)
    assert casework.process.wait(60) == 70, casework.text()
    bus.start_casework(**on_machine(bus, view, "one"))
    bus.wait_until(lambda: rows(bus.look, "select case_id from casework.case") == [("H26-0001",)], "the case")
