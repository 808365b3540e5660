"""What was parked because its schema was not known, judged again by the bus itself once it is: in a real ledger."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bus_events import NOON, SCHEMA_IDS, Lane, directive, value_of
from ledger_facts import assert_sound, one, rows
from memory_ledger import directory
from portalbus.schemas import avro_files
from portalbus.schemas.codec import HEADER_BYTES, WriterSchemas, frame
from portalbus.schemas.headers import cloudevents_headers
from portalbus.schemas.models import Event, Payload
from portalbus.schemas.registration import LaneSchemas, SchemaIds
from portalbus.schemas.registry import SchemaRegistry
from portalbus.streams.decoding.contents import UNKNOWN_SCHEMA, content_of
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Item
from portalbus.streams.ledger.ledger import Ledger
from portalbus.streams.reading.proof import prove_verdicts
from portalbus.streams.schema_learner import SchemaLearner

SEAM = Path(__file__).parents[1] / "support" / "crash_seam"
NOWHERE = SchemaRegistry("http://127.0.0.1:9")
NEW, FOREIGN = 7_007, 9_009
"""The id of the version in force, which the worker of that day did not know, and one that nobody ships."""
OLD = WriterSchemas({SCHEMA_IDS[name]: (name, avro_files.current(name).raw) for name in avro_files.LANE_TYPES})


@pytest.fixture
def look(ledger_url: str) -> Iterator[psycopg.Connection[Any]]:
    """An empty ledger with its lane, to look at."""
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        connection.execute(
            "truncate ledger.lane, ledger.source, ledger.gap, ledger.event, ledger.judgement, ledger.relayed,"
            " ledger.directive, ledger.directive_version, ledger.waiting, ledger.parked, ledger.parking_decision"
        )
        connection.execute("update ledger.position set next = 1")
        yield connection


@pytest.fixture
def ledger(ledger_url: str, look: psycopg.Connection[Any]) -> Iterator[Ledger]:
    with closing(Ledger(ledger_url, OLD, directory())) as ledger:
        ledger.open_lanes(["H26", "H29"])
        yield ledger


@pytest.fixture
def learner(ledger_url: str, tmp_path: Path) -> Iterator[SchemaLearner]:
    """A worker's, which knows DirectivePublished under NEW."""
    found = a_learner(ledger_url, tmp_path)
    yield found
    found.disconnect()


def a_learner(ledger_url: str, folder: Path) -> SchemaLearner:
    """One that remembers ids, and whose registry is away."""
    cache = folder / "schema-ids.json"
    ids = SchemaIds(NOWHERE, cache)
    places = [ids.place_of(file) for name in avro_files.LANE_TYPES for file in avro_files.history(name)]
    known = {place: number for number, place in enumerate(places, start=1_000)}
    cache.write_text(json.dumps({**known, ids.place_of(avro_files.current("DirectivePublished")): NEW}))
    schemas = LaneSchemas(SchemaIds(NOWHERE, cache))
    current = avro_files.current("DirectivePublished")
    schemas.writers.add(SCHEMA_IDS[current.name], current.name, current.raw)  # what the others on the lane write
    now = NOON + timedelta(minutes=30)
    return SchemaLearner(schemas, ledger_url, directory(), Bounds(), lambda: now)


def under(lane: Lane, schema_id: int, payload: Payload, cut: int = 0) -> Item:
    """The next event of a lane under another schema id, as the worker of that day reads it."""
    event = Event(lane.next_envelope(), payload)
    body = value_of(event)[HEADER_BYTES:]
    value = frame(schema_id, body[: len(body) - cut])
    headers = cloudevents_headers(event.envelope, payload.event_type)
    return lane.put(content_of(value, OLD), lane_key=event.key.encode(), value=value, headers=headers)


def rules(look: psycopg.Connection[Any], agency: str = "H26") -> list[str]:
    """The last verdict of each record of a lane."""
    return [
        rule for (rule,) in rows(look, "select rule from ledger.event where agency = %s order by lane_offset", agency)
    ]


def proven(look: psycopg.Connection[Any]) -> None:
    """Every record has its one verdict, or is listed as open."""
    assert_sound(look)
    with psycopg.connect(look.info.dsn, password=look.info.password) as connection:
        assert prove_verdicts(connection).problems == ()


def test_what_can_be_read_now_is_judged_in_order_and_what_nobody_ships_stays_parked(
    ledger: Ledger, learner: SchemaLearner, look: psycopg.Connection[Any]
) -> None:
    lane = Lane("H26")
    first, second = under(lane, NEW, directive()), under(lane, NEW, directive(version=2))
    behind, foreign = lane.say(directive(version=3)), under(lane, FOREIGN, directive("d-2"))
    ledger.take_in([first, second, behind, foreign])
    assert rules(look) == [UNKNOWN_SCHEMA, UNKNOWN_SCHEMA, "key.parked-before", UNKNOWN_SCHEMA]
    learner.look_now()
    assert rules(look) == ["event.accepted"] * 3 + [UNKNOWN_SCHEMA]
    versions = rows(look, "select version from ledger.directive_version where key = 'H26/d-1' order by position")
    assert versions == [(1,), (2,), (3,)]
    assert rows(look, "select lane_offset from ledger.parked where state = 'parked'") == [(3,)]
    decided = "select distinct decided_by, decided_why from ledger.parking_decision"
    assert rows(look, decided) == [
        ("worker", f"its schema id was unknown when it came; now {NEW} is DirectivePublished 1")
    ]
    proven(look)


def test_one_that_cannot_be_read_even_so_is_tried_once_and_left_to_the_operator(
    ledger: Ledger, learner: SchemaLearner, look: psycopg.Connection[Any]
) -> None:
    lane = Lane("H26")
    ledger.take_in([under(lane, NEW, directive(), cut=9), under(lane, NEW, directive("d-2"))])
    for _ in range(3):
        learner.look_now()
    assert rules(look) == [UNKNOWN_SCHEMA, "event.accepted"]
    decided = rows(look, "select lane_offset, outcome from ledger.parking_decision order by id")
    assert decided == [(0, "still parked: record.undecodable"), (1, "event.accepted")]
    proven(look)


def test_one_that_kills_its_decoder_does_not_kill_the_worker(
    ledger: Ledger, learner: SchemaLearner, look: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = Lane("H26")
    ledger.take_in([under(lane, NEW, directive(title="kills the decoder")), under(lane, NEW, directive("d-2"))])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(SEAM), os.environ.get("PYTHONPATH", ""))))
    learner.look_now()
    assert rules(look) == [UNKNOWN_SCHEMA, "event.accepted"]
    assert one(look, "select outcome from ledger.parking_decision where lane_offset = 0").endswith("crashed-worker")


def test_workers_that_look_at_the_same_moment_judge_each_record_once(
    ledger: Ledger, ledger_url: str, look: psycopg.Connection[Any], tmp_path: Path
) -> None:
    lanes = [Lane("H26"), Lane("H29")]
    ledger.take_in([under(lane, NEW, directive(f"d-{number}")) for number in range(150) for lane in lanes])
    learners = [a_learner(ledger_url, tmp_path) for _ in range(3)]
    threads = [threading.Thread(target=learner.look_now) for learner in learners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for learner in learners:
        learner.disconnect()
    assert {*rules(look, "H26"), *rules(look, "H29")} == {"event.accepted"}
    assert one(look, "select count(*) from ledger.judgement where rule = 'event.accepted'") == 300
    assert one(look, "select count(*) from ledger.parking_decision") == 300
    proven(look)


def test_a_worker_that_meets_a_waiting_event_of_a_version_that_another_one_knew_learns_it(
    ledger: Ledger, ledger_url: str, look: psycopg.Connection[Any]
) -> None:
    """It may not pass over it, and would end: the look-up is worth the moment."""
    lane = Lane("H26")
    waits = lane.say(directive(version=2))
    ledger.take_in([waits])
    assert waits.record.value is not None
    look.execute("update ledger.waiting set value = %s", (frame(NEW, waits.record.value[HEADER_BYTES:]),))
    known = WriterSchemas({SCHEMA_IDS["Canary"]: ("Canary", avro_files.current("Canary").raw)})

    def learn() -> None:
        known.add(NEW, "DirectivePublished", avro_files.current("DirectivePublished").raw)

    with closing(Ledger(ledger_url, known, directory(), learn=learn)) as other:
        other.take_in([lane.say(directive())])
    assert rules(look) == ["event.accepted"] * 2
