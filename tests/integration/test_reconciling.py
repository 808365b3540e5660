"""Reconciliation on a real PostgreSQL: whatever differs is named as what it is, healed, and healed once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import Connection

from bus_events import NOON, Lane, answer, directive, event_id, manifest, progress, receipt, withdrawal, writers
from ledger_facts import assert_sound, one, rows
from memory_ledger import directory
from off_clock import clock_ahead
from portalbus.schemas.models import Bucket, BucketContents, BucketEvent, CaseStep
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Item, Unreadable
from portalbus.streams.ledger.decider import Decider
from portalbus.streams.ledger.ledger import Ledger
from portalbus.streams.parking.asking import Filters, parked_places
from portalbus.streams.parking.deciding import Parking
from portalbus.streams.reconciling import conversing, reconciler
from portalbus.streams.reconciling.difference import Kind
from portalbus.streams.reconciling.keeper import Keeper
from portalbus.streams.reconciling.reconciler import Reconciler
from portalbus.streams.reconciling.report import Report
from portalbus.streams.relaying.outgoing import messages_of, next_outgoing
from portalbus.streams.settings import UNTIL_PUBLISHED
from stating_source import StatingSource

TABLES: LiteralString = (
    "truncate ledger.lane, ledger.source, ledger.gap, ledger.event, ledger.judgement, ledger.relayed, ledger.directive,"
    " ledger.directive_version, ledger.case, ledger.case_step, ledger.waiting, ledger.parked, ledger.notice,"
    " ledger.manifest_bucket, ledger.inquiry, ledger.bucket_contents, ledger.repair, ledger.quarantine,"
    " ledger.reconciliation, ledger.alert"
)
SEEN: LiteralString = """
select jsonb_build_array(
    (select jsonb_agg(to_jsonb(d) order by key) from ledger.directive d),
    (select jsonb_agg(to_jsonb(v) order by key, version) from ledger.directive_version v),
    (select jsonb_agg(to_jsonb(c) order by case_id) from ledger.case c))"""


class Lanes:
    """What the lanes say of an event, by the test's word."""

    def __init__(self, holds: bool | None = False) -> None:
        self.answer = holds

    def holds(self, agency: str, lane_offset: int, event_id: str) -> bool | None:
        return self.answer


class Clock:
    """A time that the test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


@pytest.fixture
def look(ledger_url: str) -> Iterator[Connection[Any]]:
    with psycopg.connect(ledger_url, autocommit=True) as connection:
        connection.execute(TABLES)
        connection.execute("update ledger.position set next = 1")
        yield connection


@pytest.fixture
def source(look: Connection[Any], ledger_url: str) -> Iterator[StatingSource]:
    """A source with directives, one of them revised, one withdrawn, and an answered and an open case."""
    ledger = Ledger(ledger_url, writers(), directory())
    ledger.open_lanes(["H26", "G22"])
    source = StatingSource(ledger, look)
    source.say(*(directive(f"d-{number}", title=f"Văn bản số {number}") for number in range(6)))
    source.say(directive("d-1", 2), withdrawal("d-2", 2, title="Văn bản số 2"))
    source.say(receipt("H26-0001", 1), receipt("H26-0002", 2), answer("H26-0001"))
    source.state()
    yield source
    ledger.close()


Run = Callable[[], Report]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lanes() -> Lanes:
    return Lanes()


@pytest.fixture
def reconcile(ledger_url: str, source: StatingSource, lanes: Lanes, clock: Clock) -> Iterator[Run]:
    """One reconciliation, with all that the source answers."""
    with Reconciler(ledger_url, writers(), lanes, clock=clock) as reconciler:

        def run() -> Report:
            started_at = clock()
            compared = reconciler.run()
            while source.answer():
                reconciler.follow_up()
            return Report(compared, 0.0, tuple(reconciler.repairs_since(None, started_at)))

        yield run


@contextmanager
def unharmed(look: Connection[Any]) -> Iterator[None]:
    """What people see is the same after as before."""
    before = one(look, SEEN)
    yield
    assert one(look, SEEN) == before
    assert one(look, "select count(*) from ledger.event where not final") == 0


def healed_from(report: Report) -> set[str | None]:
    return {repair.healed_from for repair in report.repairs}


def test_the_largest_numbers_that_a_source_can_state_stop_nobodys_reconciliation(
    reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    hostile = manifest("G22", first_sequence=0, delivered_sequence=2**63 - 1, last_sequence=2**63 - 1)
    source.ledger.take_in([Lane("G22").put(hostile, value=b"")])
    look.execute("delete from ledger.directive where key = 'H26/d-3'")
    assert healed_from(reconcile()) == {"ledger"}


@pytest.mark.parametrize("last", [9, 2**63 - 1])
def test_whatever_a_source_lists_the_others_are_reconciled(
    last: int, ledger_url: str, source: StatingSource, look: Connection[Any]
) -> None:
    """Events twice under one id, with other hashes and places, and places beyond all that can be asked for."""
    asked = (event_type, day) = ("DirectivePublished", NOON.date())
    listed = [
        BucketEvent(id=event_id(number % 3), sequence=sequence, content_hash=f"{number:064x}")
        for number, sequence in enumerate((1, 1, 2**63 - 1, 5, 2**63 - 1, 7), 1)
    ]
    bucket = Bucket(day=day, event_type=event_type, count=3, digest="1" * 64)
    numbers = {"first_sequence": 1, "last_sequence": last, "delivered_sequence": last}
    hostile = StatingSource(source.ledger, look, "G22")
    hostile.lane.put(manifest("G22", buckets=(bucket,), **numbers), value=b"")
    source.ledger.take_in(hostile.lane.items)
    with Reconciler(ledger_url, writers(), Lanes(), clock=Clock()) as reconciler:
        reconciler.run()
        assert rows(look, "select event_type, day from ledger.inquiry where agency = 'G22'") == [asked]
        answer_ = BucketContents(
            id=event_id(1), agency="G22", portal="www", epoch=1, day=day, event_type=event_type, first=1, last=last,
            events=tuple(listed), sent_at=NOON,
        )  # fmt: skip
        source.ledger.take_in([hostile.lane.put(answer_, value=b"")])
        look.execute("delete from ledger.directive where key = 'H26/d-3'")
        reconciler.follow_up()
        assert rows(look, "select count(*) from ledger.bucket_contents") == [(0,)]
        reconciler.run()
        assert one(look, "select count(*) from ledger.directive where key = 'H26/d-3'") == 1


# ---- what the ledger heals by itself -------------------------------------------------------------------------------


def test_a_store_that_is_as_published_differs_in_nothing(reconcile: Run) -> None:
    report = reconcile()
    assert report.repairs == ()
    assert (report.compared.events, report.compared.buckets, report.compared.differing_buckets) == (11, 3, 0)


@pytest.mark.parametrize(
    ("damage", "kind", "named"),
    [
        ("delete from ledger.directive where key = 'H26/d-3'", Kind.MISSING, "H26/d-3"),
        ("delete from ledger.directive_version where key = 'H26/d-3'", Kind.UNKNOWN, "H26/d-3"),
        ("update ledger.directive set title = 'x' where key = 'H26/d-3'", Kind.ALTERED, "H26/d-3"),
        ("update ledger.directive set search = '' where key = 'H26/d-3'", Kind.ALTERED, "H26/d-3"),
        ("update ledger.directive set published_at = now() where key = 'H26/d-1'", Kind.ALTERED, "H26/d-1"),
        (
            "update ledger.directive_version set document = document || '{\"signer\": \"x\"}' where key = 'H26/d-3'",
            Kind.ALTERED,
            "H26/d-3",
        ),
        ("update ledger.directive_version set document = '{}' where key = 'H26/d-3'", Kind.ALTERED, "H26/d-3"),
        (
            "update ledger.directive_version set version = 3 where key = 'H26/d-1' and version = 2",
            Kind.ALTERED,
            "H26/d-1",
        ),
        ("update ledger.directive_version set lane_offset = 0 where key = 'H26/d-3'", Kind.ALTERED, "H26/d-3"),
        ("update ledger.case set content = 'x' where case_id = 'H26-0002'", Kind.ALTERED, "H26-0002"),
        ("update ledger.case set owner = 'G22' where case_id = 'H26-0002'", Kind.ALTERED, "H26-0002"),
        ("update ledger.case set answer = 'x' where case_id = 'H26-0001'", Kind.ALTERED, "H26-0001"),
        ("update ledger.case set answered_by = 'G22' where case_id = 'H26-0001'", Kind.ALTERED, "H26-0001"),
        ("update ledger.case set state = 'RECEIVED' where case_id = 'H26-0001'", Kind.MISSING, "H26-0001"),
        ("update ledger.case set state = 'RESOLVED' where case_id = 'H26-0002'", Kind.UNKNOWN, "H26-0002"),
        ("delete from ledger.case where case_id = 'H26-0001'", Kind.MISSING, "H26-0001"),
        (
            'insert into ledger.case select (jsonb_populate_record(c, \'{"case_id": "H26-9", "public_code": "9"}\')).*'
            " from ledger.case c where case_id = 'H26-0002'",
            Kind.UNKNOWN,
            "H26-9",
        ),
        (
            "insert into ledger.directive_version select (jsonb_populate_record(v, '{\"version\": 9}')).*"
            " from ledger.directive_version v where key = 'H26/d-3'",
            Kind.UNKNOWN,
            "H26/d-3",
        ),
        (
            'insert into ledger.directive select (jsonb_populate_record(d, \'{"key": "H26/x"}\')).*'
            " from ledger.directive d where key = 'H26/d-3'",
            Kind.UNKNOWN,
            "H26/x",
        ),
    ],
)
def test_what_is_damaged_is_named_and_healed_from_the_ledger(
    damage: LiteralString, kind: Kind, named: str, reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    with unharmed(look):
        look.execute(damage)
        report = reconcile()
        assert report.named(kind) == [named]
        assert report.open == 0
        assert healed_from(report) <= {"ledger", "removed"}
    assert source.sent_again == report.asked_again == 0
    assert reconcile().repairs == ()
    assert_sound(look)


def test_a_withdrawal_that_people_did_not_see_is_named_and_takes_effect(reconcile: Run, look: Connection[Any]) -> None:
    with unharmed(look):
        look.execute("delete from ledger.directive_version where key = 'H26/d-2' and version = 2")
        look.execute("update ledger.directive set version = 1, withdrawn = false where key = 'H26/d-2'")
        assert reconcile().missed_withdrawals == ["H26/d-2"]


def test_what_stood_there_instead_is_kept_as_evidence(reconcile: Run, look: Connection[Any]) -> None:
    look.execute("update ledger.directive set title = 'Bịa đặt' where key = 'H26/d-3'")
    reconcile()
    assert rows(look, "select place, agency, key, content->>'title' from ledger.quarantine") == [
        ("directive", "H26", "H26/d-3", "Bịa đặt")
    ]


def test_an_event_is_listed_as_it_was_judged(reconcile: Run, look: Connection[Any]) -> None:
    with unharmed(look):
        look.execute("update ledger.event set status = 'REJECTED', rule = 'source.blocked' where key = 'H26/d-3'")
        report = reconcile()
        assert (report.repairs[0].place, report.repairs[0].columns) == ("event", ["status"])
        assert report.open == 0
    assert reconcile().repairs == ()
    assert_sound(look)


def test_what_waited_for_a_lost_version_is_released_when_it_is_back(
    reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    look.execute("delete from ledger.directive_version where key = 'H26/d-3'")
    look.execute("delete from ledger.directive where key = 'H26/d-3'")
    source.say(directive("d-3", 2))
    assert one(look, "select count(*) from ledger.waiting") == 1
    reconcile()
    assert one(look, "select version from ledger.directive where key = 'H26/d-3'") == 2
    assert one(look, "select count(*) from ledger.waiting") == 0
    assert_sound(look)
    assert reconcile().repairs == ()


def test_what_waited_for_a_lost_case_is_judged_under_the_settings_of_the_workers(
    ledger_url: str, source: StatingSource, look: Connection[Any]
) -> None:
    """The centre returns an answer after three days, where it may until it is published; the case is lost just then."""
    source.say(receipt("H26-0005", 5), answer("H26-0005", public=True))
    source.state()
    look.execute("delete from ledger.case where case_id = 'H26-0005'")
    centre = Lane("G22")
    centre.now = source.lane.now + timedelta(days=3)
    bounds = Bounds(review=UNTIL_PUBLISHED)
    with closing(Ledger(ledger_url, writers(), directory(), bounds=bounds)) as worker:
        worker.tell_review()
        worker.take_in([centre.say(progress(CaseStep.ANSWER_RETURNED, "H26-0005"))])
    last: LiteralString = "select status, rule from ledger.event where agency = 'G22' order by lane_offset desc limit 1"
    assert rows(look, last)[0][0] == "WAITING"
    with Reconciler(ledger_url, writers(), Lanes()) as reconciler:
        reconciler.run()
    assert rows(look, last) == [("ACCEPTED", "event.accepted")]
    judging: LiteralString = "select bounds->>'review' from ledger.step join ledger.judging on judging.id = judging"
    assert one(look, judging + " where kind = 'release' order by step.id desc limit 1") == str(
        UNTIL_PUBLISHED.total_seconds()
    )
    look.execute("delete from ledger.review")


def test_cases_that_changed_their_public_codes_get_their_own_back(reconcile: Run, look: Connection[Any]) -> None:
    with unharmed(look):
        look.execute("update ledger.case set public_code = 'x' where case_id = 'H26-0001'")
        look.execute(
            "update ledger.case set public_code = (select params->>'c' from"
            " (select jsonb_build_object('c', %s::text) params) p) where case_id = 'H26-0002'",
            (receipt("H26-0001", 1).public_code,),
        )
        assert reconcile().open == 0


# ---- what the source sends again -----------------------------------------------------------------------------------


def erase(look: Connection[Any], key: str) -> None:
    """Takes every trace of a directive out of the ledger."""
    look.execute(
        "delete from ledger.judgement j using ledger.event e"
        " where e.key = %s and j.agency = e.agency and j.lane_offset = e.lane_offset",
        (key,),
    )
    for table in ("event", "directive_version", "directive"):
        look.execute(f"delete from ledger.{table} where key = %s", (key,))


def canonical_messages(look: Connection[Any], after: int) -> list[str]:
    return [
        message.topic
        for outgoing in next_outgoing(look, after, 10_000)
        for message in messages_of(
            outgoing, dict.fromkeys(("Verdict", "DigestRequested", "ResendRequested", "Alert"), 1)
        )
        if message.topic.startswith("central.")
    ]


@pytest.mark.parametrize("key", ["H26/d-3", "H26/d-1"])
def test_an_event_with_no_trace_left_is_sent_again_and_nothing_else_is(
    key: str, reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    events = one(look, "select count(*) from ledger.event where key = %s", key)
    seen = one(look, "select title from ledger.directive where key = %s", key)
    erase(look, key)
    last = one(look, "select next - 1 from ledger.position")
    report = reconcile()
    assert report.named(Kind.MISSING) == [key]
    assert report.open == 0
    assert source.sent_again == report.asked_again == events
    assert one(look, "select title from ledger.directive where key = %s", key) == seen
    assert rows(look, "select distinct rule, final from ledger.event where key = %s", key) == [("event.restored", True)]
    assert canonical_messages(look, last) == [], "it was there before"
    reasons = rows(look, "select distinct value->>'reason' from ledger.notice where record = 'ResendRequested'")
    assert [reason for (reason,) in reasons] == ["source.differs"]
    assert reconcile().repairs == ()


def test_an_erased_first_version_goes_back_to_its_place(
    reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    gone = one(look, "select event_id from ledger.directive_version where key = 'H26/d-1' and version = 1")
    look.execute("delete from ledger.event where event_id = %s", (gone,))
    look.execute("delete from ledger.directive_version where event_id = %s", (gone,))
    report = reconcile()
    assert report.open == 0
    assert source.sent_again == 1
    assert one(look, "select version from ledger.directive where key = 'H26/d-1'") == 2
    assert one(look, "select count(*) from ledger.directive_version where key = 'H26/d-1'") == 2
    assert reconcile().repairs == ()


def test_an_erased_case_comes_back_with_its_answer(
    reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    look.execute("delete from ledger.event where key = 'H26-0001'")
    look.execute("delete from ledger.case where case_id = 'H26-0001'")
    report = reconcile()
    assert report.open == 0
    assert source.sent_again == 2
    assert one(look, "select answer from ledger.case where case_id = 'H26-0001'") == "Đã sửa."
    assert reconcile().repairs == ()


def test_a_row_without_any_copy_of_its_event_is_healed_by_a_duplicate(
    reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    with unharmed(look):
        look.execute("update ledger.judgement set canonical = null")
        look.execute("update ledger.directive_version set document = '{}' where key = 'H26/d-3'")
        report = reconcile()
        assert report.open == 0
        assert healed_from(report) == {"source", "ledger"}
    assert source.sent_again == report.asked_again == 1
    assert rows(
        look, "select status, count(*) from ledger.event where key = 'H26/d-3' group by status order by status"
    ) == [
        ("ACCEPTED", 1),
        ("DUPLICATE", 1),
    ]


def test_a_content_hash_that_was_altered_in_the_list_is_set_right(
    reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    before = one(look, "select content_hash from ledger.event where key = 'H26/d-3'")
    with unharmed(look):
        look.execute("update ledger.event set content_hash = sha256('x') where key = 'H26/d-3'")
        report = reconcile()
        assert report.open == 0
    assert one(look, "select content_hash from ledger.event where key = 'H26/d-3' and claims_id") == before
    assert reconcile().repairs == ()


def test_a_large_bucket_is_told_in_parts(reconcile: Run, source: StatingSource, look: Connection[Any]) -> None:
    source.most = 2
    erase(look, "H26/d-4")
    assert reconcile().open == 0
    assert source.sent_again == 1


def test_what_a_source_that_is_away_has_to_send_stays_listed(
    ledger_url: str, source: StatingSource, look: Connection[Any], clock: Clock
) -> None:
    erase(look, "H26/d-4")
    asked: LiteralString = "select count(*) from ledger.notice where record = %s"
    with Reconciler(ledger_url, writers(), Lanes(), clock=clock) as reconciler:
        reconciler.run()
        reconciler.run()
        assert one(look, asked, "DigestRequested") == 1, "nobody is asked twice within a minute"
        assert not reconciler.follow_up()
        clock.now += timedelta(minutes=2)
        reconciler.run()
        assert one(look, asked, "DigestRequested") == 2
        source.answer()
        assert not reconciler.follow_up()
        assert one(look, "select count(*) from ledger.repair where healed_at is null") == 1
        while source.answer():
            done = reconciler.follow_up()
        assert done
    assert one(look, "select count(*) from ledger.directive") == 6


def test_what_a_source_no_longer_keeps_is_listed_and_not_asked_for(
    reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    source.kept_from = 6
    source.state()
    look.execute("update ledger.judgement set canonical = null")
    look.execute("update ledger.directive_version set document = '{}' where key = 'H26/d-3'")
    report = reconcile()
    assert (report.named(Kind.ALTERED), report.healed, report.asked_again) == (["H26/d-3"], 0, 0)
    erase(look, "H26/d-4")
    report = reconcile()
    assert report.compared.differing_buckets == 1, "it can still be said that something differs"
    assert source.sent_again == 0


# ---- steps of cases -------------------------------------------------------------------------------------------------


CASE_SEEN: LiteralString = """
select (select jsonb_agg(to_jsonb(s) order by position) from ledger.case_step s),
       (select jsonb_agg(to_jsonb(c) order by case_id) from ledger.case c)"""


@pytest.mark.parametrize(
    ("damage", "kind", "key"),
    [
        ("delete from ledger.case_step where step = 'CLASSIFIED'", Kind.MISSING, "H26-0003"),
        (
            "update ledger.case_step set document = jsonb_set(document, '{reason}', '\"Đã bị sửa\"')"
            " where step = 'EXTENDED'",
            *(Kind.ALTERED, "H26-0003"),
        ),
        ("update ledger.case_step set step = 'ACCEPTED' where step = 'CLASSIFIED'", Kind.ALTERED, "H26-0003"),
        (
            "insert into ledger.case_step select case_id, position + 1000, agency, gen_random_uuid(), lane_offset,"
            " received_at, step, document from ledger.case_step where step = 'EXTENDED'",
            *(Kind.UNKNOWN, "H26-0003"),
        ),
    ],
)
def test_a_step_that_is_lost_altered_or_made_up_is_found_and_healed(
    damage: LiteralString, kind: Kind, key: str, reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    source.say(
        receipt("H26-0003", 3), progress(CaseStep.CLASSIFIED, "H26-0003"), progress(CaseStep.EXTENDED, "H26-0003")
    )
    source.state()
    before = one(look, CASE_SEEN), one(look, "select max(steps) from ledger.case")
    look.execute(damage)
    report = reconcile()
    assert (report.named(kind), report.open) == ([key], 0)
    assert healed_from(report) == {"removed" if kind is Kind.UNKNOWN else "ledger"}
    assert (one(look, CASE_SEEN), one(look, "select max(steps) from ledger.case")) == before
    assert reconcile().repairs == ()


def test_a_step_that_lost_every_trace_is_sent_again_and_takes_its_place(
    reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    source.say(
        receipt("H26-0003", 3), progress(CaseStep.CLASSIFIED, "H26-0003"), progress(CaseStep.ACCEPTED, "H26-0003")
    )
    source.state()
    look.execute(
        "delete from ledger.judgement j using ledger.case_step s where s.step = 'CLASSIFIED' and j.agency = s.agency"
        " and j.lane_offset = s.lane_offset"
    )
    look.execute(
        "delete from ledger.event e using ledger.case_step s where s.step = 'CLASSIFIED' and e.event_id = s.event_id"
    )
    look.execute("delete from ledger.case_step where step = 'CLASSIFIED'")
    assert reconcile().open == 0
    assert source.sent_again == 1
    assert sorted(rows(look, "select step from ledger.case_step")) == [("ACCEPTED",), ("CLASSIFIED",)]
    assert rows(look, "select stage, steps, owner from ledger.case where case_id = 'H26-0003'") == [
        ("IN_PROGRESS", 2, "H26")
    ]
    assert reconcile().repairs == ()


# ---- what never came and was not missed -----------------------------------------------------------------------------


def put_in_its_place(source: StatingSource, *more: tuple[str, bytes]) -> Item:
    """The next event never reaches the lane; a record that nobody can read has claimed its place there. The event."""
    lost = source.lane.say(directive("d-7"))
    source.lane.items.pop()
    source.said.append(lost)
    claimed = [("ce_source", b"/H26/www"), ("ce_sequence", b"%d" % len(source.said)), *more]
    unread = Unreadable("record.undecodable", "EOFError while decoding")
    source.ledger.take_in([source.lane.put(unread, value=b"rubbish", headers=claimed)])
    source.say(directive("d-8"))
    source.state()
    return lost


@pytest.mark.parametrize("other_id", [False, True])
@pytest.mark.parametrize("discarded", [False, True])
def test_an_event_whose_place_rubbish_has_taken_is_found_and_accepted_as_new(
    other_id: bool, discarded: bool, reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    put_in_its_place(source, *([("ce_id", event_id(999).encode())] if other_id else []))
    if discarded:
        discard_parked(look)
    assert one(look, "select count(*) from ledger.gap") == 0, "nobody misses it"
    last = one(look, "select next - 1 from ledger.position")
    report = reconcile()
    assert (report.named(Kind.MISSING), report.open) == (["H26/d-7"], 0)
    assert source.sent_again == report.asked_again == 1
    assert rows(look, "select rule, final from ledger.event where key = 'H26/d-7'") == [("event.accepted", True)]
    assert canonical_messages(look, last) == ["central.directive-published"], "it was not there before"
    assert reconcile().repairs == ()
    assert_sound(look)


@pytest.mark.parametrize("discarded", [False, True])
def test_an_event_that_is_parked_itself_or_was_discarded_is_not_asked_for(
    discarded: bool, reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    put_in_its_place(source, ("ce_id", event_id(int.from_bytes(b"H26") * 1_000_000 + 12).encode()))
    if discarded:
        discard_parked(look)
    assert reconcile().repairs == ()
    assert source.sent_again == 0


def discard_parked(look: Connection[Any]) -> None:
    """An operator sets all parked records aside for good."""
    parking = Parking(look, writers(), directory())
    assert list(parking.discard(parked_places(look, Filters()), Decider("han@example.gov.vn", "rubbish")))


# ---- what nobody sent ----------------------------------------------------------------------------------------------

# At the offset of the manifest, where a record lies that the ledger does not list.
FORGED: LiteralString = """
insert into ledger.event select (jsonb_populate_record(e,
    '{"lane_offset": 11, "event_id": "00000000-0000-0000-0000-00000000beef", "key": "H26/gia"}')).*
from ledger.event e where key = 'H26/d-3'"""
FORGED_ROWS: tuple[LiteralString, ...] = (
    """insert into ledger.directive_version select (jsonb_populate_record(v,
        '{"key": "H26/gia", "lane_offset": 11, "event_id": "00000000-0000-0000-0000-00000000beef"}')).*
    from ledger.directive_version v where key = 'H26/d-3'""",
    """insert into ledger.directive select (jsonb_populate_record(d, '{"key": "H26/gia", "directive_id": "gia"}')).*
    from ledger.directive d where key = 'H26/d-3'""",
)


def forge(look: Connection[Any]) -> None:
    look.execute(FORGED)
    for statement in FORGED_ROWS:
        look.execute(statement)


def test_an_event_that_neither_source_nor_lane_knows_is_removed(
    reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    with unharmed(look):
        forge(look)
        report = reconcile()
        assert report.named(Kind.UNKNOWN) == ["H26/gia"]
        assert report.open == 0
        assert source.sent_again == 0
    places = {place for (place,) in rows(look, "select place from ledger.quarantine")}
    assert places == {"event", "directive_version", "directive"}
    assert reconcile().repairs == ()


def test_an_event_beyond_the_end_of_its_lane_needs_nobody_s_word(
    ledger_url: str, source: StatingSource, look: Connection[Any]
) -> None:
    with unharmed(look), Reconciler(ledger_url, writers(), Lanes()) as reconciler:
        forge(look)
        look.execute("update ledger.event set lane_offset = 900 where key = 'H26/gia'")
        look.execute("delete from ledger.directive where key = 'H26/gia'")
        look.execute("delete from ledger.directive_version where key = 'H26/gia'")
        reconciler.run()
        assert one(look, "select count(*) from ledger.event where key = 'H26/gia'") == 0


def test_an_event_that_only_its_source_has_forgotten_stays(
    reconcile: Run, source: StatingSource, lanes: Lanes, look: Connection[Any]
) -> None:
    lanes.answer = True
    with unharmed(look):
        source.forgotten.add(one(look, "select event_id::text from ledger.event where key = 'H26/d-3'"))
        source.state()
        report = reconcile()
        assert report.named(Kind.UNKNOWN) == ["H26/d-3"]
        assert healed_from(report) == {"kept"}
    assert reconcile().repairs == ()


def test_nothing_that_may_have_been_sent_is_removed_while_nobody_can_tell(
    reconcile: Run, lanes: Lanes, look: Connection[Any]
) -> None:
    lanes.answer = None
    forge(look)
    report = reconcile()
    assert report.open > 0
    assert one(look, "select count(*) from ledger.event where key = 'H26/gia'") == 1


def test_a_row_whose_event_was_lost_is_not_taken_for_a_forgery(
    ledger_url: str, source: StatingSource, look: Connection[Any], clock: Clock
) -> None:
    look.execute("delete from ledger.event where key = 'H26/d-3'")
    with Reconciler(ledger_url, writers(), Lanes(), clock=clock) as reconciler:
        reconciler.run()
        assert one(look, "select count(*) from ledger.directive where key = 'H26/d-3'") == 1, (
            "the source is to be asked"
        )
        while source.answer():
            done = reconciler.follow_up()
        assert done
    assert one(look, "select count(*) from ledger.directive where key = 'H26/d-3'") == 1


# ---- what is no difference -----------------------------------------------------------------------------------------


def test_a_gap_in_the_order_of_a_source_is_no_difference(
    reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    lost = source.lane.say(directive("d-7"))
    source.lane.items.pop()
    source.said.append(lost)
    source.say(directive("d-8"))
    source.state()
    assert one(look, "select count(*) from ledger.gap") == 1
    report = reconcile()
    assert report.repairs == ()
    assert report.asked_again == 0


def test_refused_events_and_duplicates_are_no_difference(
    reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    source.say(directive("d-1", 1), directive("d-7", classification="SECRET"))
    source.ledger.take_in([source.lane.again(source.said[0])])
    source.state()
    assert one(look, "select count(*) from ledger.event where status = 'REJECTED'") == 2
    assert reconcile().repairs == ()


def test_events_that_no_manifest_covers_yet_are_compared_with_their_rows_alone(
    reconcile: Run, source: StatingSource, look: Connection[Any]
) -> None:
    source.say(directive("d-7"))
    report = reconcile()
    assert report.compared.differing_buckets == 0
    look.execute("update ledger.directive_version set document = '{}' where key = 'H26/d-7'")
    assert reconcile().named(Kind.ALTERED) == ["H26/d-7"]


def test_one_agency_is_reconciled_alone(ledger_url: str, source: StatingSource, look: Connection[Any]) -> None:
    other = StatingSource(source.ledger, look, "G22")
    other.say(directive("d-1"))
    other.state()
    look.execute("update ledger.directive set title = 'x' where directive_id = 'd-1'")
    with Reconciler(ledger_url, writers(), Lanes()) as reconciler:
        reconciler.run(["G22"])
        assert {repair.key for repair in reconciler.repairs_since(None, datetime(2026, 1, 1, tzinfo=UTC))} == {
            "G22/d-1"
        }


def test_two_do_not_reconcile_at_once(ledger_url: str, look: Connection[Any]) -> None:
    with Reconciler(ledger_url, writers(), None) as one_of_them, Reconciler(ledger_url, writers(), None) as other:
        assert one_of_them.take_turn()
        assert not other.take_turn()
        one_of_them.end_turn()
        assert other.take_turn()


def test_a_machine_whose_clock_is_ahead_does_not_put_off_the_workers_own_comparisons(
    ledger_url: str, source: StatingSource, look: Connection[Any]
) -> None:
    with (
        clock_ahead(timedelta(days=10), (conversing, reconciler)),
        Reconciler(ledger_url, writers(), Lanes()) as operators,
    ):
        operators.run()
    assert one(look, "select max(started_at) <= now() and max(finished_at) <= now() from ledger.reconciliation")


# ---- by itself -----------------------------------------------------------------------------------------------------


@pytest.fixture
def keeper(ledger_url: str, clock: Clock) -> Iterator[Keeper]:
    def make(rest: Callable[[], None]) -> Reconciler:
        return Reconciler(ledger_url, writers(), Lanes(), clock=clock, rest=rest)

    keeper = Keeper(make, timedelta(minutes=5))
    yield keeper
    asyncio.run(keeper.close())


def test_a_worker_reconciles_when_it_is_due_and_not_before(
    keeper: Keeper, source: StatingSource, look: Connection[Any], clock: Clock
) -> None:
    runs: LiteralString = "select whole, differences from ledger.reconciliation order by started_at"
    with unharmed(look):
        asyncio.run(keeper.look())
        look.execute("update ledger.directive_version set document = '{}' where key = 'H26/d-3'")
        asyncio.run(keeper.look())
        assert rows(look, runs) == [(True, 0)]
        clock.now += timedelta(minutes=5)
        asyncio.run(keeper.look())
    assert rows(look, runs) == [(True, 0), (False, 2)]
    clock.now += timedelta(hours=1)
    asyncio.run(keeper.look())
    assert rows(look, runs)[-1] == (True, 0)


def test_a_worker_with_a_backlog_reconciles_later_but_not_never(
    ledger_url: str, source: StatingSource, look: Connection[Any], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(rest: Callable[[], None]) -> Reconciler:
        return Reconciler(ledger_url, writers(), Lanes(), clock=clock, rest=rest)

    behind = [True]
    keeper = Keeper(make, timedelta(minutes=5), lambda: behind[0])
    moment = [1_000.0]
    monkeypatch.setattr("portalbus.streams.reconciling.keeper.time", SimpleNamespace(monotonic=lambda: moment[0]))
    runs: LiteralString = "select count(*) from ledger.reconciliation"
    asyncio.run(keeper.look())
    moment[0] += 3_599
    asyncio.run(keeper.look())
    assert one(look, runs) == 0
    moment[0] += 1
    asyncio.run(keeper.look())
    assert one(look, runs) == 1
    behind[0] = False
    clock.now += timedelta(minutes=5)
    asyncio.run(keeper.look())
    assert one(look, runs) == 2
    asyncio.run(keeper.close())


def test_a_worker_takes_in_what_is_answered_in_between(
    keeper: Keeper, source: StatingSource, look: Connection[Any]
) -> None:
    erase(look, "H26/d-3")
    asyncio.run(keeper.look())
    while source.answer():
        asyncio.run(keeper.look())
    assert one(look, "select count(*) from ledger.directive") == 6
    assert one(look, "select count(*) from ledger.reconciliation") == 1


def test_a_worker_that_compares_gives_way_to_an_operator_who_waits(
    ledger_url: str, source: StatingSource, look: Connection[Any]
) -> None:
    begun, awaited = threading.Event(), threading.Event()

    def make(rest: Callable[[], None]) -> Reconciler:
        def rest_when_somebody_waits() -> None:
            begun.set()
            assert awaited.wait(30)
            rest()

        return Reconciler(ledger_url, writers(), Lanes(), rest=rest_when_somebody_waits)

    keeper = Keeper(make, timedelta(minutes=5))
    with ThreadPoolExecutor(2) as threads, Reconciler(ledger_url, writers(), Lanes()) as operator:
        compared = threads.submit(asyncio.run, keeper.look())
        assert begun.wait(30)
        assert not operator.wait_for_turn(0.05), "the worker has it"
        turn = threads.submit(operator.wait_for_turn, 30)
        deadline = time.monotonic() + 30
        while not one(look, "select exists (select from pg_locks where locktype = 'advisory' and not granted)"):
            assert time.monotonic() < deadline
        awaited.set()
        assert turn.result(30)
        compared.result(30)
        assert one(look, "select count(*) from ledger.reconciliation") == 0, "it left what it had begun"
        operator.run()
        asyncio.run(keeper.look())
        assert one(look, "select count(*) from ledger.reconciliation") == 1, "the turn is the operator's"
    asyncio.run(keeper.look())
    look.execute("update ledger.reconciliation set started_at = started_at - interval '1 day'")
    asyncio.run(keeper.look())
    assert one(look, "select count(*) from ledger.reconciliation") == 2, "the worker begins anew when it is due"
    asyncio.run(keeper.close())


def test_differences_that_last_raise_an_alert_and_their_end_closes_it(
    keeper: Keeper, source: StatingSource, look: Connection[Any], clock: Clock
) -> None:
    alerts: LiteralString = "select kind, agency, closed_at is null from ledger.alert"
    erase(look, "H26/d-4")
    asyncio.run(keeper.look())
    clock.now += timedelta(minutes=9)
    asyncio.run(keeper.look())
    assert rows(look, alerts) == [], "its portal may be away for a moment"
    clock.now += timedelta(minutes=6)
    asyncio.run(keeper.look())
    assert rows(look, alerts) == [("store.differs", "H26", True)]
    while source.answer():
        asyncio.run(keeper.look())
    assert rows(look, alerts) == [("store.differs", "H26", False)]
