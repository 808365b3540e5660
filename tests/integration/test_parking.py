"""Parked records in a real ledger: decided by an operator beside a worker, proven verdict by verdict, limited."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
import pytest

from bus_events import (
    NOON,
    Lane,
    answer,
    content_of,
    directive,
    manifest,
    manifest_value,
    progress,
    receipt,
    value_of,
    writers,
)
from ledger_facts import assert_sound, one, rows
from ledger_rows import hear_lanes
from memory_ledger import directory
from off_clock import clock_ahead
from portalbus.infra.cli.exits import UNREACHABLE, status_of
from portalbus.schemas.codec import WriterSchemas
from portalbus.schemas.headers import cloudevents_headers
from portalbus.schemas.models import CaseStep, Event, Payload
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Item, Unreadable
from portalbus.streams.ledger import gap_desk, source_desk
from portalbus.streams.ledger.decider import Decider
from portalbus.streams.ledger.gap_desk import close_gap
from portalbus.streams.ledger.ledger import Ledger
from portalbus.streams.ledger.parking_limit import ParkingLimit, ParkingStopped
from portalbus.streams.ledger.parking_stop import allow
from portalbus.streams.ledger.source_desk import SourceStatus, set_source
from portalbus.streams.ledger.steps import LedgerNewer, bounds_in_use, written_bounds
from portalbus.streams.parking import deciding
from portalbus.streams.parking.asking import (
    Filters,
    held_behind,
    kept_record,
    parked_groups,
    parked_lines,
    parked_places,
    parking_decisions,
)
from portalbus.streams.parking.deciding import Outcome, Parking
from portalbus.streams.reading.proof import prove_verdicts
from portalbus.streams.rebuilding.step_reading import steps_after
from portalbus.streams.settings import UNTIL_PUBLISHED

AGENCIES = ("G22", "H26", "H29")
BROKEN = Unreadable("record.undecodable", "EOFError while decoding")
BEHIND = "key.parked-before"
HAN = Decider("han@example.gov.vn", "the decoder is mended")


@pytest.fixture
def url(ledger_url: str) -> Iterator[str]:
    """A ledger with nothing in it but its lanes."""
    with psycopg.connect(ledger_url) as connection:
        connection.execute(
            "truncate ledger.lane, ledger.source, ledger.gap, ledger.event, ledger.judgement, ledger.relayed,"
            " ledger.directive, ledger.directive_version, ledger.case, ledger.case_step, ledger.waiting, ledger.parked,"
            " ledger.notice, ledger.alert, ledger.parking_decision, ledger.parking_stop, ledger.parking_allowance,"
            " ledger.step, ledger.judging, ledger.review, ledger.gap_closing, ledger.source_blocking"
        )
        connection.execute("update ledger.position set next = 1")
    yield ledger_url


@pytest.fixture
def look(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to look at what is in the ledger."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with opened(url) as ledger:
        ledger.open_lanes(AGENCIES)
        yield ledger


def opened(url: str, **values: Any) -> Any:
    """A worker's hold on the ledger, to be closed."""
    return closing(Ledger(url, writers(), directory(), **values))


def broken(lane: Lane, payload: Payload) -> Item:
    """A record that says what it would say, and that the worker of that day cannot read."""
    event = Event(lane.next_envelope(), payload)
    headers = cloudevents_headers(event.envelope, payload.event_type)
    return lane.put(BROKEN, lane_key=event.key.encode(), value=value_of(event), headers=headers)


def rules(look: psycopg.Connection[Any], agency: str = "H26") -> list[str]:
    """The last verdict of each record of a lane."""
    return [
        rule for (rule,) in rows(look, "select rule from ledger.event where agency = %s order by lane_offset", agency)
    ]


def decide(url: str, action: str, filters: Filters | None = None, by: WriterSchemas | None = None) -> list[Outcome]:
    """What an operator's program does, on the day on which the records came."""
    with psycopg.connect(url, autocommit=True) as connection:
        parking = Parking(connection, by or writers(), directory(), clock=lambda: NOON + timedelta(minutes=30))
        places = parked_places(connection, filters or Filters())
        return list((parking.redrive if action == "redrive" else parking.discard)(places, HAN))


def proven(look: psycopg.Connection[Any]) -> None:
    """Every record has its one verdict, or is on a list."""
    assert_sound(look)
    with psycopg.connect(look.info.dsn, password=look.info.password) as connection:
        proof = prove_verdicts(connection)
    assert proof.problems == ()


# ---- holding and deciding ----------------------------------------------------------------------------------------


def test_redrive_gives_the_parked_event_its_verdict_and_those_behind_it_theirs_in_order(
    url: str, ledger: Ledger, look: psycopg.Connection[Any]
) -> None:
    lane = Lane("H26")
    ledger.take_in([broken(lane, directive()), lane.say(directive(version=2))])
    ledger.take_in([lane.say(directive("d-2")), lane.say(directive(version=3))])
    assert rules(look) == ["record.undecodable", BEHIND, "event.accepted", BEHIND]
    assert one(look, "select event_id::text from ledger.event where lane_offset = 0") is not None
    proven(look)
    outcomes = decide(url, "redrive")
    assert [(item.lane_offset, item.parked, item.rule) for item in outcomes] == [(0, False, "event.accepted")]
    assert rules(look) == ["event.accepted"] * 4
    versions = rows(look, "select version from ledger.directive_version where key = 'H26/d-1' order by position")
    assert versions == [(1,), (2,), (3,)]
    assert (
        one(look, "select canonical from ledger.judgement where lane_offset = 0 and final")
        == lane.items[0].record.value
    )
    assert one(look, "select claims_id from ledger.event where lane_offset = 0")
    assert rows(look, "select state, decided_by, decided_why from ledger.parked") == [("redriven", HAN.who, HAN.why)]
    (decision,) = parking_decisions(look, "H26", 0)
    assert (decision.action, decision.outcome, decision.decided_by) == ("redrive", "event.accepted", HAN.who)
    assert decision.position == one(look, "select position from ledger.event where lane_offset = 0")
    assert decide(url, "redrive") == []
    ledger.take_in([lane.again(lane.items[0]), lane.say(directive(version=4))])
    proven(look)


def test_the_place_of_a_discarded_record_stays_open_and_is_filled_once(
    url: str, ledger: Ledger, look: psycopg.Connection[Any]
) -> None:
    lane = Lane("H26")
    ledger.take_in([lane.say(directive()), broken(lane, directive("d-2")), lane.say(directive("d-3"))])
    decide(url, "discard")
    ledger.take_in([lane.say(directive("d-4"), sequence=2)])
    ledger.take_in([lane.say(directive("d-5"), sequence=2)])
    assert rules(look)[1:] == ["parked.discarded", "event.accepted", "event.accepted", "source.sequence-reused"]
    proven(look)


def test_a_record_whose_place_an_event_took_while_an_operator_decided_does_not_take_it_again(
    url: str, ledger: Ledger, look: psycopg.Connection[Any]
) -> None:
    lane = Lane("H26")
    ledger.take_in([lane.say(directive()), broken(lane, directive("d-2"))])

    class Slow(Parking):
        def _contents(self, kept: Any) -> Any:
            ledger.take_in([lane.say(directive("d-4"), sequence=2)])
            return super()._contents(kept)

    with psycopg.connect(url, autocommit=True) as connection:
        (outcome,) = Slow(connection, writers(), directory(), clock=lambda: NOON).redrive([("H26", 1)], HAN)
    assert (outcome.parked, outcome.rule) == (False, "source.sequence-reused")
    assert rules(look) == ["event.accepted", "source.sequence-reused", "event.accepted"]
    proven(look)


def test_what_still_cannot_be_read_stays_parked_and_the_attempt_is_written_down(
    url: str, ledger: Ledger, look: psycopg.Connection[Any]
) -> None:
    lane = Lane("H26")
    ledger.take_in([lane.put(BROKEN, lane_key=b"H26/d-1", value=b"no avro"), lane.say(directive())])
    before = one(look, "select next from ledger.position")
    assert [(item.parked, item.rule) for item in decide(url, "redrive")] == [(True, "record.not-avro")]
    assert one(look, "select next from ledger.position") == before
    assert rules(look) == ["record.undecodable", BEHIND]
    assert [item.outcome for item in parking_decisions(look, "H26", 0)] == ["still parked: record.not-avro"]
    decide(url, "discard")
    assert rules(look) == ["parked.discarded", "event.accepted"]
    assert [item.action for item in parking_decisions(look, "H26", 0)] == ["redrive", "discard"]
    proven(look)


def test_a_hold_that_is_over_lets_a_receipt_take_its_public_code_only_once(
    url: str, ledger: Ledger, look: psycopg.Connection[Any]
) -> None:
    lane, other = Lane("H26"), Lane("H29")
    ledger.take_in([lane.put(BROKEN, lane_key=b"H26-0001"), lane.say(receipt(code=7))])
    ledger.take_in([other.say(receipt("H29-0001", code=7))])
    hear_lanes(url, {"H26": NOON + timedelta(hours=2)})
    with opened(url, clock=lambda: NOON + timedelta(hours=2)) as later:
        assert later.expire() == 1
        assert later.expire() == 0
    assert rules(look) == ["record.undecodable", "case.public-code-taken"]
    lane.now += timedelta(hours=3)
    ledger.take_in([lane.say(receipt(code=8)), lane.say(directive())])
    assert rules(look)[2:] == ["event.accepted"] * 2
    proven(look)


def test_a_lapse_that_the_next_event_of_the_key_finds_knows_the_public_codes_too(
    ledger: Ledger, look: psycopg.Connection[Any]
) -> None:
    lane, other = Lane("H26"), Lane("H29")
    ledger.take_in([lane.put(BROKEN, lane_key=b"H26-0001"), lane.say(receipt(code=7))])
    ledger.take_in([other.say(receipt("H29-0001", code=7))])
    lane.now += timedelta(hours=3)
    ledger.take_in([lane.say(receipt(code=8))])
    assert rules(look)[1:] == ["case.public-code-taken", "event.accepted"]
    proven(look)


def test_the_room_behind_a_parked_record_is_bounded_and_stays_open_once_it_was_full(
    url: str, ledger: Ledger, look: psycopg.Connection[Any]
) -> None:
    lane = Lane("H26")
    with opened(url, bounds=Bounds(waiting_per_key=3)) as small:
        small.take_in([broken(lane, directive("d-1", 9))])
        for version in range(1, 5):
            small.take_in([lane.say(directive(version=version))])
        assert rules(look) == ["record.undecodable", *["event.accepted"] * 4]
        small.take_in([lane.say(directive(version=5))])
    assert rules(look)[-1] == "event.accepted"
    assert one(look, "select holds_until from ledger.parked") is None
    decide(url, "discard")
    proven(look)


def test_a_place_that_is_filled_after_all_is_filled_once(
    url: str, ledger: Ledger, look: psycopg.Connection[Any]
) -> None:
    lane = Lane("H26")
    ledger.take_in([lane.say(directive("d-0")), broken(lane, directive("d-9")), lane.say(directive("d-2"))])
    assert rows(look, "select * from ledger.gap") == []
    ledger.take_in([lane.say(directive("d-1"), sequence=2)])
    ledger.take_in([lane.say(directive("d-3"), sequence=2)])
    assert rules(look)[3:] == ["event.accepted", "source.sequence-reused"]
    decide(url, "redrive")
    assert rules(look)[1] == "source.sequence-reused"
    proven(look)


def test_a_manifest_that_could_not_be_read_gets_a_final_verdict_too(
    url: str, ledger: Ledger, look: psycopg.Connection[Any]
) -> None:
    lane = Lane("H26")
    heartbeat = manifest("H26")
    ledger.take_in(
        [lane.put(heartbeat, value=manifest_value(heartbeat)), lane.put(BROKEN, value=manifest_value(heartbeat))]
    )
    decide(url, "redrive")
    assert rules(look) == ["parked.heartbeat-past"]
    assert one(look, "select heartbeats from ledger.lane where agency = 'H26'") == 1
    proven(look)


def test_many_are_redriven_in_the_order_of_their_lanes(url: str, ledger: Ledger, look: psycopg.Connection[Any]) -> None:
    """As after a bad deployment: every record of an hour was parked, and the decoder is mended."""
    lane = Lane("H26")
    items = [broken(lane, directive(f"d-{number % 7}", 1 + number // 7)) for number in range(350)]
    with opened(url, bounds=Bounds(parked_per_key=1_000)) as wide:
        wide.take_in(items)
    outcomes = decide(url, "redrive")
    assert [item.lane_offset for item in outcomes] == list(range(350))
    assert set(rules(look)) == {"event.accepted"}
    accepted = rows(look, "select key, version from ledger.directive_version order by position")
    for number in range(7):
        assert [version for key, version in accepted if key == f"H26/d-{number}"] == list(range(1, 51))
    proven(look)


# ---- whose clock, and whose settings -----------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [timedelta(days=-10), timedelta(days=10)], ids=["behind", "ahead"])
def test_the_clock_of_an_operators_machine_decides_nothing(
    url: str, look: psycopg.Connection[Any], ahead: timedelta
) -> None:
    lane = Lane("H26")
    lane.now = datetime.now(UTC) - timedelta(hours=1)
    with opened(url) as ledger:
        ledger.open_lanes(AGENCIES)
        ledger.take_in([broken(lane, directive(version=2)), lane.say(receipt()), lane.say(receipt("H26-0002", 2))])
        ledger.take_in([lane.say(receipt("H26-0009", 9), sequence=9)])
    with clock_ahead(ahead, (deciding, gap_desk, source_desk)), psycopg.connect(url, autocommit=True) as connection:
        (outcome,) = Parking(connection, writers(), directory()).redrive([("H26", 0)], HAN)
        with connection.transaction():
            assert close_gap(connection, "H26", "www", 4, 8, who=HAN.who, why=HAN.why)
            assert set_source(connection, "H26", "www", SourceStatus.BLOCKED, who=HAN.who, why=HAN.why)
    assert (outcome.status, outcome.rule) == ("WAITING", "directive.waits-for-version")
    waits: LiteralString = "select extract(epoch from until - now()) from ledger.waiting where rule = %s"
    seconds = float(one(look, waits, "directive.waits-for-version"))
    assert 0 <= timedelta(days=7).total_seconds() - seconds < 60, "it waits its whole time, from the decision on"
    decided = rows(look, "select kind, abs(extract(epoch from now() - at)) < 60 from ledger.step order by id")
    assert decided[-3:] == [("redrive", True), ("closing", True), ("blocking", True)]
    assert one(look, "select abs(extract(epoch from now() - decided_at)) < 60 from ledger.parked")


def test_an_operator_judges_under_the_settings_of_the_workers(url: str, look: psycopg.Connection[Any]) -> None:
    """A command or console knows none of them: an answer may be returned until it is published, and it is not yet."""
    lane, centre = Lane("H26"), Lane("G22")
    bounds = Bounds(review=UNTIL_PUBLISHED, gap_hold=timedelta(seconds=3))
    with opened(url, bounds=bounds, clock=lambda: NOON) as ledger:
        ledger.open_lanes(AGENCIES)
        ledger.tell_review()
        ledger.take_in([lane.say(receipt()), lane.say(answer(public=True))])
        centre.now = lane.now + timedelta(days=3)
        ledger.take_in([broken(centre, progress(CaseStep.ANSWER_RETURNED))])
    assert [outcome.rule for outcome in decide(url, "redrive")] == ["event.accepted"]
    assert written_bounds(bounds_in_use(look)) == written_bounds(bounds)
    written = rows(look, "select distinct bounds from ledger.judging")
    assert len(written) == 1, "and its step says so: a rebuild judges the same"
    look.execute("update ledger.review set lasts = interval '2 hours'")
    assert bounds_in_use(look).review == timedelta(hours=2), "told since the last step"
    assert bounds_in_use(look).gap_hold == timedelta(seconds=3)


def test_nothing_was_judged_yet_and_the_bounds_are_the_usual_ones(url: str, look: psycopg.Connection[Any]) -> None:
    assert bounds_in_use(look) == Bounds()


def test_a_command_older_than_the_workers_says_which_version_it_takes(url: str, look: psycopg.Connection[Any]) -> None:
    lane = Lane("H26")
    with opened(url) as ledger:
        ledger.open_lanes(AGENCIES)
        ledger.take_in([broken(lane, receipt())])
    look.execute("update ledger.judging set version = '9.1', bounds = bounds || '{\"patience\": 3}'")
    with pytest.raises(LedgerNewer, match=r"version 9\.1 has .* \(patience\): use version 9\.1 or a later") as told:
        decide(url, "redrive")
    assert status_of(told.value) == (UNREACHABLE, str(told.value)), (
        "a sentence and a status, as for all that ends a command"
    )
    assert one(look, "select decided_at from ledger.parked") is None
    with pytest.raises(LedgerNewer, match="patience"):
        list(steps_after(look, 0))
    look.execute("update ledger.judging set bounds = bounds - 'patience'")
    look.execute("update ledger.step set kind = 'pruning'")
    with pytest.raises(LedgerNewer, match=r"version 9\.1 has taken a step .* \(pruning\)"):
        list(steps_after(look, 0))


# ---- looking -----------------------------------------------------------------------------------------------------


def test_parked_records_are_grouped_by_reason_and_shown_one_by_one(
    ledger: Ledger, look: psycopg.Connection[Any]
) -> None:
    here, there = Lane("H26"), Lane("H29")
    empty = Unreadable("record.empty", "the value is empty")
    ledger.take_in([broken(here, directive()), here.say(directive(version=2)), here.put(empty), there.put(empty)])
    groups = parked_groups(look, Filters())
    assert [(group.reason, group.records, group.agencies, group.held_behind) for group in groups] == [
        ("record.empty", 2, ["H26", "H29"], 0),
        ("record.undecodable", 1, ["H26"], 1),
    ]
    assert groups[0].first_at < groups[0].last_at or groups[0].records == 2
    assert [line.lane_offset for line in parked_lines(look, Filters(agency="H26"), 10)] == [0, 2]
    assert [line.key for line in parked_lines(look, Filters(key="H26/d-1"), 10)] == ["H26/d-1"]
    assert parked_lines(look, Filters(reason="record.empty"), 1)[0].bytes is None
    assert parked_lines(look, Filters(since=NOON + timedelta(days=1)), 10) == []
    kept = kept_record(look, "H26", 0)
    assert kept is not None
    assert kept.record() == here.items[0].record
    assert [offset for offset, _ in held_behind(look, kept)] == [1]
    assert kept_record(look, "H26", 1) is None


# ---- the limit ---------------------------------------------------------------------------------------------------


def a_bad_deployment(lanes: list[Lane], each: int) -> list[Item]:
    """Good records of many lanes that nobody can read any more."""
    cases = ((lane, f"{lane.agency}-{number:04}") for lane in lanes for number in range(each))
    return [broken(lane, receipt(case, code)) for code, (lane, case) in enumerate(cases)]


def test_a_bad_deployment_stops_before_the_batch_is_taken_in_and_says_so(
    url: str, ledger: Ledger, look: psycopg.Connection[Any]
) -> None:
    lanes = [Lane(agency) for agency in AGENCIES]
    with pytest.raises(ParkingStopped, match="cannot be read"):
        ledger.take_in(a_bad_deployment(lanes, 20))
    assert one(look, "select count(*) from ledger.event") == 0
    assert one(look, "select sum(next_offset) from ledger.lane") == 0
    assert rows(look, "select parked, judged, lanes, ended_at from ledger.parking_stop") == [(60, 60, 3, None)]
    assert rows(look, "select kind, closed_at from ledger.alert") == [("parking.stopped", None)]
    with pytest.raises(ParkingStopped):
        ledger.take_in([item for lane in lanes for item in lane.items])
    assert one(look, "select count(*) from ledger.parking_stop") == 1
    assert one(look, "select count(*) from ledger.alert") == 1


def test_the_mended_deployment_goes_on_and_the_alert_is_closed(
    url: str, ledger: Ledger, look: psycopg.Connection[Any]
) -> None:
    lanes = [Lane(agency) for agency in AGENCIES]
    bad = a_bad_deployment(lanes, 20)
    with pytest.raises(ParkingStopped):
        ledger.take_in(bad)
    ledger.expire()
    assert one(look, "select ended_at from ledger.parking_stop") is None
    good = [Item(item.record, content_of(reads(item))) for item in bad]
    ledger.take_in(good[:20])
    ledger.expire()
    assert one(look, "select ended_at from ledger.parking_stop") is None
    ledger.take_in(good[20:])
    ledger.expire()
    assert one(look, "select ended_at from ledger.parking_stop") is not None
    assert one(look, "select closed_at from ledger.alert") is not None
    assert one(look, "select count(*) from ledger.event where rule = 'event.accepted'") == 60


def reads(item: Item) -> Event:
    """The event in a record that only the worker of that day could not read."""
    from portalbus.schemas.codec import Decoded, read

    found = read(item.record.value, writers())
    assert isinstance(found, Decoded)
    return found.event


def test_an_operator_may_let_it_go_on_and_what_was_parked_then_does_not_count_later(
    url: str, ledger: Ledger, look: psycopg.Connection[Any]
) -> None:
    lanes = [Lane(agency) for agency in AGENCIES]
    with pytest.raises(ParkingStopped):
        ledger.take_in(a_bad_deployment(lanes, 20))
    now = datetime.now(UTC)
    allow(look, HAN, timedelta(hours=1), now)
    ledger.take_in([item for lane in lanes for item in lane.items])
    assert one(look, "select count(*) from ledger.parked") == 60
    after = now + timedelta(hours=1, minutes=1)
    with opened(url, clock=lambda: after) as later:
        later.take_in([broken(lanes[0], receipt("G22-9999", 9_999))])
    with opened(url, clock=lambda: after) as later, pytest.raises(ParkingStopped):
        later.take_in(a_bad_deployment(lanes, 20)[-60:])


def test_one_portal_that_sends_nothing_but_garbage_stops_nobody(ledger: Ledger, look: psycopg.Connection[Any]) -> None:
    hostile, honest, other = (Lane(agency) for agency in AGENCIES)
    for number in range(1, 6):
        garbage = [hostile.put(BROKEN, lane_key=b"k") for _ in range(400)]
        ledger.take_in([*garbage, honest.say(receipt(f"H26-{number:04}", number)), other.say(directive(f"d-{number}"))])
    assert one(look, "select count(*) from ledger.parked") == 2_000
    assert set(rules(look, "H26")) == {"event.accepted"}


def test_two_portals_in_league_stop_nobody(ledger: Ledger, look: psycopg.Connection[Any]) -> None:
    one_of_them, the_other, _ = (Lane(agency) for agency in AGENCIES)
    garbage = [lane.put(BROKEN) for lane in (one_of_them, the_other) for _ in range(500)]
    ledger.take_in(garbage)
    assert one(look, "select count(*) from ledger.parked") == 1_000


def test_the_limit_can_be_switched_off(url: str, look: psycopg.Connection[Any], ledger: Ledger) -> None:
    with opened(url, parking_limit=ParkingLimit(share=1)) as careless:
        careless.take_in(a_bad_deployment([Lane(agency) for agency in AGENCIES], 40))
    assert one(look, "select count(*) from ledger.parked") == 120


# ---- the proof ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("delete from ledger.event where lane_offset = 1", "2 events and 1 heartbeats do not make 4 records"),
        ("update ledger.event set rule = 'case.not-yours' where lane_offset = 1", "lane.H26@1: its last judgement is"),
        (
            "update ledger.judgement set final = true where status = 'PARKED'",
            "lane.H26: 2 final judgements on 1 records with a final verdict",
        ),
        ("delete from ledger.waiting", "lane.H26@3: WAITING by directive.waits-for-version, but not on the list"),
        ("delete from ledger.parked", "lane.H26@2: PARKED by record.undecodable, but not on the list"),
        (
            "update ledger.parked set state = 'redriven'",
            "lane.H26@2: PARKED by record.undecodable, but not on the list",
        ),
        ("update ledger.event set status = 'ACCEPTED' where lane_offset = 3", "is no verdict that may stay open"),
        ("update ledger.waiting set lane_offset = 1", "lane.H26@1: listed as waiting, but it is not"),
        ("update ledger.position set next = 9", "the order has a hole"),
        ("update ledger.lane set heartbeats = 0 where agency = 'H26'", "0 heartbeats do not make"),
    ],
)
def test_the_proof_finds_what_is_not_as_it_has_to_be(
    damage: str, problem: str, url: str, ledger: Ledger, look: psycopg.Connection[Any]
) -> None:
    lane = Lane("H26")
    heartbeat = manifest("H26", last_sequence=0, delivered_sequence=0)
    ledger.take_in(
        [
            lane.put(heartbeat, value=manifest_value(heartbeat)),
            lane.say(directive()),
            broken(lane, directive("d-3")),
            lane.say(directive("d-2", 2)),
        ]
    )
    proven(look)
    with psycopg.connect(url) as connection:
        connection.execute(damage)
    with psycopg.connect(url) as connection:
        found = prove_verdicts(connection, "H26" if "position" not in damage else None)
    assert not found.holds
    assert any(problem in said for said in found.problems), found.problems


def test_the_proof_counts_and_lists_what_is_open(url: str, ledger: Ledger) -> None:
    lane = Lane("H26")
    ledger.take_in([lane.say(directive()), broken(lane, directive("d-3")), lane.say(directive("d-2", 2))])
    with psycopg.connect(url) as connection:
        proof = prove_verdicts(connection, "H26")
        assert not prove_verdicts(connection, "Z99").holds
    assert (proof.records, proof.heartbeats, proof.problems) == (3, 0, ())
    assert {(count.status, count.rule, count.final, count.records) for count in proof.counts} == {
        ("ACCEPTED", "event.accepted", True, 1),
        ("PARKED", "record.undecodable", False, 1),
        ("WAITING", "directive.waits-for-version", False, 1),
    }
    parked, waiting = proof.open
    assert (parked.lane_offset, parked.until) == (1, None)
    assert waiting.until is not None
    assert waiting.until - waiting.received_at == timedelta(days=7)
