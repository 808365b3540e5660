"""The ledger on a real PostgreSQL: all or nothing, in one order, whoever dies, freezes or restarts in the middle."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, LiteralString, cast

import psycopg
import pytest

from bus_events import (
    NOON,
    Lane,
    answer,
    directive,
    envelope,
    event_id,
    manifest,
    manifest_value,
    misshapen_value,
    public_code,
    receipt,
    writers,
)
from histories import past
from ledger_facts import assert_sound, counts, last_verdicts, one, rows
from ledger_rows import hear_lanes
from memory_ledger import MemoryLedger, directory
from portalbus.infra.stack.paths import StateFolder
from portalbus.infra.stack.postgres import Postgres, new_passwords
from portalbus.schemas.codec import read
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Item, Unreadable
from portalbus.streams.judgement.gaps import GapState
from portalbus.streams.ledger import ledger as ledger_module
from portalbus.streams.ledger import writing
from portalbus.streams.ledger.database import WORKER_OPTIONS, Session, connect, migrate
from portalbus.streams.ledger.fetching import MOST_GAPS
from portalbus.streams.ledger.gap_desk import close_gap
from portalbus.streams.ledger.hearing import MARGIN
from portalbus.streams.ledger.ledger import LaneJump, Ledger, Taken
from portalbus.streams.records import LaneRecord
from portalbus.streams.relaying.outgoing import Judged, next_outgoing
from seeds import fresh_seed

AGENCIES = ("G22", "H26", "H29")
PATIENCE_S = 40.0


@pytest.fixture
def url(ledger_url: str) -> Iterator[str]:
    """A ledger with nothing in it but its lanes."""
    with psycopg.connect(ledger_url) as connection:
        connection.execute(
            "truncate ledger.lane, ledger.source, ledger.gap, ledger.event, ledger.judgement, ledger.relayed,"
            " ledger.directive, ledger.directive_version, ledger.case, ledger.case_step, ledger.waiting, ledger.parked,"
            " ledger.notice"
        )
        connection.execute("update ledger.position set next = 1")
    with opened(ledger_url) as ledger:
        ledger.open_lanes(AGENCIES)
    yield ledger_url


@pytest.fixture
def look(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to look at what is in the ledger."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with opened(url) as ledger:
        yield ledger


@contextmanager
def opened(url: str, **values: Any) -> Iterator[Ledger]:
    """A worker's hold on the ledger."""
    ledger = Ledger(url, writers(), directory(), **values)
    try:
        yield ledger
    finally:
        ledger.close()


def in_thread(work: Callable[[], Any]) -> Callable[[], Any]:
    """Starts some work; returns what waits for it and gives what it gave."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result() -> Any:
        thread.join(PATIENCE_S)
        assert found, "still at work"
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]

    return result


def take_all(ledger: Ledger, items: list[Item], size: int) -> list[Taken]:
    """Takes items in, so many at a time."""
    return [ledger.take_in(items[start : start + size]) for start in range(0, len(items), size)]


def wait_until(holds: Callable[[], Any], what: str) -> None:
    """Polls until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S:g} s"
        time.sleep(0.02)


def wait_for_progress(connection: psycopg.Connection[Any]) -> None:
    """Waits until the ledger has taken something in."""
    query: LiteralString = "select next from ledger.position"
    before = one(connection, query)
    wait_until(lambda: one(connection, query) > before, "some progress")


# ---- all or nothing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step", ["_event_row", "_judgement_row", "case_row", "_source_row", "_directive_row", "_storable"]
)
def test_a_batch_that_fails_halfway_leaves_nothing(
    url: str, ledger: Ledger, look: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    lane = Lane("H26")
    ledger.take_in([lane.say(directive())])
    before = counts(look)
    items = [
        lane.say(receipt()),
        lane.say(directive("d-2", 2)),
        lane.say(directive("d-3")),
        lane.say(answer("H26-0009"), agency="H29"),
        lane.put(Unreadable("record.not-avro", "no"), value=b"x"),
    ]
    items[-1] = Item(items[-1].record._replace(headers=(("name", b"v"),)), items[-1].content)
    with monkeypatch.context() as broken, pytest.raises(ZeroDivisionError):
        broken.setattr(writing, step, lambda *_: 1 // 0)
        ledger.take_in(items)
    assert counts(look) == before
    assert one(look, "select next_offset from ledger.lane where agency = 'H26'") == 1
    assert_sound(look)
    assert ledger.take_in(items).judged == 5, "and afterwards it goes in"
    assert_sound(look)


def test_a_batch_that_fails_at_its_very_end_leaves_nothing(
    ledger: Ledger, look: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken, pytest.raises(psycopg.errors.DivisionByZero):
        broken.setattr(ledger_module, "ADVANCE", "select 1 / 0, %s::text[], %s::int8[], %s::int8[], %s::int8[]")
        ledger.take_in([Lane("H26").say(directive())])
    assert set(counts(look).values()) == {0}
    assert one(look, "select next from ledger.position") == 1


def test_nobody_hears_of_a_batch_before_it_is_committed(
    url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute("listen ledger")
        with monkeypatch.context() as broken, pytest.raises(psycopg.errors.DivisionByZero):
            broken.setattr(ledger_module, "ADVANCE", "select 1 / 0, %s::text[], %s::int8[], %s::int8[], %s::int8[]")
            ledger.take_in([Lane("H26").say(directive())])
        lane = Lane("H26")
        ledger.take_in([lane.say(directive()), lane.say(directive("d-2"))])
        heard = [notice.payload for notice in listener.notifies(timeout=PATIENCE_S, stop_after=1)]
        assert heard == ["2"]


# ---- replays and jumps -------------------------------------------------------------------------------------------


def test_what_the_ledger_has_is_passed_over(ledger: Ledger, look: psycopg.Connection[Any]) -> None:
    lane = Lane("H26")
    items = [lane.say(directive(f"d-{number}")) for number in range(6)]
    assert ledger.take_in(items[:4]).next_offsets == {"H26": 4}
    before = counts(look)
    again = ledger.take_in(items[:4])
    assert (again.judged, again.replayed, again.next_offsets) == (0, 4, {"H26": 4})
    assert counts(look) == before
    overlapping = ledger.take_in(items[2:])
    assert (overlapping.judged, overlapping.replayed) == (2, 2)
    assert one(look, "select count(*) from ledger.event where rule = 'event.accepted'") == 6
    assert_sound(look)


def test_a_jump_is_refused_with_everything_around_it(ledger: Ledger, look: psycopg.Connection[Any]) -> None:
    h26, h29 = Lane("H26"), Lane("H29")
    items = [h26.say(directive(f"d-{number}")) for number in range(5)]
    with pytest.raises(LaneJump, match=r"lane\.H26: record 2 came, the ledger expects 1"):
        ledger.take_in([h29.say(directive()), items[0], *items[2:]])
    assert set(counts(look).values()) == {0}
    assert ledger.next_offsets(AGENCIES) == {"G22": 0, "H26": 0, "H29": 0}


def test_a_lane_that_nobody_opened_is_a_jump(ledger: Ledger) -> None:
    with pytest.raises(LaneJump, match="expects None"):
        ledger.take_in([Lane("H30").say(directive())])


def test_of_two_workers_on_one_lane_the_second_finds_the_work_done(url: str, look: psycopg.Connection[Any]) -> None:
    lane = Lane("H26")
    items = [lane.say(directive(f"d-{number}")) for number in range(40)]
    with opened(url) as one_worker, opened(url) as other:
        results = [in_thread(partial(take_all, worker, items, 5)) for worker in (one_worker, other)]
        taken = [part for result in results for part in result()]
    assert sum(part.judged for part in taken) == 40
    assert sum(part.replayed for part in taken) == 40
    assert_sound(look)


def test_a_lane_moved_by_something_else_while_a_batch_is_judged_is_a_jump(
    url: str, ledger: Ledger, look: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = writing.writing

    @contextmanager
    def write(connection: psycopg.Connection[Any], *arguments: Any) -> Iterator[None]:
        with (
            psycopg.connect(url, autocommit=True, options="-c lock_timeout=100ms") as other,
            pytest.raises(psycopg.errors.LockNotAvailable),
        ):
            other.execute("update ledger.lane set next_offset = 7 where agency = 'H26'")
        connection.execute("update ledger.lane set next_offset = 7 where agency = 'H26'")
        with real(connection, *arguments):
            yield

    monkeypatch.setattr(ledger_module, "writing", write)
    with pytest.raises(LaneJump, match="moved by another worker"):
        ledger.take_in([Lane("H26").say(directive())])
    assert ledger.next_offsets(["H26"]) == {"H26": 0}


# ---- two workers, causes and effects -----------------------------------------------------------------------------


def test_two_workers_with_causes_and_effects_across_their_lanes_leave_nobody_waiting(
    url: str, look: psycopg.Connection[Any]
) -> None:
    h26, h29 = Lane("H26"), Lane("H29")
    for number in range(60):
        h26.say(receipt(f"H26-{number:04}", number, addressed_to="H29"))
        h26.say(answer(f"H29-{number:04}"))
        h29.say(answer(f"H26-{number:04}"))
        h29.say(receipt(f"H29-{number:04}", 1_000 + number, addressed_to="H26"))
    with opened(url) as one_worker, opened(url) as other:
        work = [
            in_thread(partial(take_all, worker, lane.items, 3)) for worker, lane in ((one_worker, h26), (other, h29))
        ]
        for result in work:
            result()
    assert one(look, "select count(*) from ledger.case where state = 'RESOLVED'") == 120
    assert counts(look)["waiting"] == 0
    assert set(last_verdicts(look).values()) == {"event.accepted"}
    assert_sound(look)


@pytest.mark.parametrize("bytes_at_once", [1 << 20, 1])
@pytest.mark.parametrize("seed", range(6))
def test_the_database_ends_where_the_same_history_in_memory_does(
    url: str, look: psycopg.Connection[Any], seed: int, bytes_at_once: int
) -> None:
    bounds = Bounds(bytes_at_once=bytes_at_once)
    history = past(Random(seed), 120)
    random = Random(seed)
    items = history.interleaved(random)
    memory = MemoryLedger()
    start = 0
    with opened(url, bounds=bounds) as one_worker, opened(url, bounds=bounds) as other:
        while start < len(items):
            end = start + random.randint(1, 25)
            random.choice((one_worker, other)).take_in(items[start:end])
            memory.take(*items[start:end])
            start = end
    assert last_verdicts(look) == {place: told[-1] for place, told in memory.verdicts().items()}
    stored = rows(
        look,
        "select j.agency, j.lane_offset, j.rule, e.event_id::text, j.canonical"
        " from ledger.judgement j join ledger.event e using (agency, lane_offset) order by j.position",
    )
    assert stored == [
        (
            entry.agency,
            entry.lane_offset,
            entry.decision.rule,
            entry.envelope.id if entry.envelope else None,
            entry.canonical,
        )
        for entry in memory.entries
    ]
    assert (
        dict(
            rows(
                look,
                "select key, array_agg(document->>'title' order by version) from ledger.directive_version group by key",
            )
        )
        == memory.titles
    )
    assert {
        (key, version, withdrawn)
        for key, version, withdrawn in rows(look, "select key, version, withdrawn from ledger.directive")
    } == {(key, state.version, state.withdrawn) for key, state in memory.history.directives.items()}
    assert dict(rows(look, "select case_id, (receiver, owner, state = 'RESOLVED')::text from ledger.case")) == {
        case.case_id: f"({case.receiver},{case.owner},{'t' if case.is_resolved else 'f'})"
        for case in memory.history.cases.values()
    }
    for (agency, portal), source in memory.history.sources.items():
        assert rows(
            look,
            "select epoch, last_sequence, first_heard_at, last_heard_at from ledger.source"
            " where agency = %s and portal = %s",
            agency,
            portal,
        ) == [(source.epoch, source.last_sequence, source.first_heard_at, source.last_heard_at)]
        assert dict(
            rows(
                look,
                "select epoch::text || '/' || first, last from ledger.gap where agency = %s and portal = %s",
                agency,
                portal,
            )
        ) == {f"{epoch}/{first}": gap.last for (epoch, first), gap in source.gaps.items()}
    assert_sound(look)


# ---- what senders may do to it -----------------------------------------------------------------------------------

ODD = (
    "\x00",
    "a\x00b",
    "\ufffe\uffff",
    "\U0010ffff",
    "‮ligne‬",
    "\r\n\x1b[31m",
    "e\u0301",
    "'; drop schema ledger; --",
    ",",
    "{}",
    "\\N",
    "\\x00",
)


def as_item(lane: str, offset: int, value: bytes, key: bytes | None = None, headers: Any = ()) -> Item:
    """A record as the worker reads it."""
    record = LaneRecord(f"lane.{lane}", lane, offset, round(NOON.timestamp() * 1000) + offset, key, value, headers)
    try:
        return Item(record, read(value, writers()))
    except Exception as error:
        return Item(record, Unreadable(getattr(error, "rule", "record.undecodable"), getattr(error, "detail", "?")))


def test_no_text_of_a_sender_fails_the_transaction(ledger: Ledger, look: psycopg.Connection[Any]) -> None:
    items: list[Item] = []
    for text in ODD:
        number = len(items)
        for field in (
            "title",
            "number",
            "document_type",
            "body",
            "field",
            "abstract",
            "directive_id",
            "canonical_url",
            "language",
        ):
            head = envelope(len(items), "H26", len(items) + 1, correlation_id=text)
            items.append(
                as_item(
                    "H26", len(items), misshapen_value(head, directive(f"d-{len(items)}"), **cast(Any, {field: text}))
                )
            )
        for payload, field in (
            (receipt(), "case_id"),
            (receipt(), "public_code"),
            (receipt(), "content"),
            (receipt(), "pseudonym"),
            (receipt(), "addressed_to"),
            (answer(), "case_id"),
            (answer(), "answer"),
            (answer(), "competent_agency"),
        ):
            head = envelope(len(items), "H26", len(items) + 1)
            items.append(as_item("H26", len(items), misshapen_value(head, payload, **cast(Any, {field: text}))))
        for field in ("portal", "agency", "id"):
            head = envelope(len(items), "H26", len(items) + 1).model_copy(update={field: text})
            items.append(as_item("H26", len(items), misshapen_value(head, directive())))
        for field in ("sdk", "portal", "agency", "id"):
            heartbeat = manifest("H26", number).model_copy(update={field: text})
            items.append(as_item("H26", len(items), manifest_value(heartbeat)))
        headers = ((text, text.encode()), ("none", None), ("", b"\xff\x00"))
        items.append(as_item("H26", len(items), b"rubbish", key=text.encode(), headers=headers))
        head = envelope(len(items), "H26", len(items) + 1)
        items.append(as_item("H26", len(items), misshapen_value(head, directive(f"d-{len(items)}")), key=text.encode()))
    taken = ledger.take_in(items)
    assert taken.next_offsets == {"H26": len(items)}
    assert one(look, "select manifest->>'sdk' from ledger.source where portal = 'www'") is not None
    assert_sound(look)
    assert next_outgoing(look, 0, 10_000), "and the relay can read it"


@pytest.mark.parametrize("zone", ["Asia/Ho_Chi_Minh", "America/Los_Angeles"])
def test_times_at_the_ends_of_the_calendar_are_stored_and_relayed(
    url: str, look: psycopg.Connection[Any], zone: str
) -> None:
    database = one(look, "select current_database()")
    look.execute(f"alter database {database} set timezone = '{zone}'")
    try:
        lane = Lane("H26")
        first, last = datetime.min.replace(tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC)
        with opened(url) as ledger:
            ledger.take_in(
                [lane.say(directive(f"d-{n}"), occurred_at=at, published_at=at) for n, at in enumerate((first, last))]
            )
            ledger.take_in([lane.say(directive("d-3"))])
        with connect(url, application="relay") as relay:
            assert [said.occurred_at for said in next_outgoing(relay, 0, 2) if isinstance(said, Judged)] == [
                first,
                last,
            ]
    finally:
        look.execute(f"alter database {database} reset timezone")


def test_a_source_may_say_the_largest_sequence_there_is(ledger: Ledger, look: psycopg.Connection[Any]) -> None:
    lane = Lane("H26")
    ledger.take_in([lane.say(directive(), sequence=2**63 - 1, epoch=2**31 - 1)])
    ledger.take_in([lane.say(directive("d-2"), sequence=5, epoch=2**31 - 1)])
    assert rows(look, "select first, last from ledger.gap order by first") == [(1, 4), (6, 2**63 - 2)]


def test_an_event_as_large_as_events_may_be_is_taken_in(ledger: Ledger, look: psycopg.Connection[Any]) -> None:
    random = Random(1)
    body = "".join(chr(random.randrange(0x4E00, 0x9FFF)) for _ in range(87_000))
    head = envelope(1, "H26", 1)
    value = misshapen_value(head, directive(), body=body)
    assert ledger.take_in([as_item("H26", 0, value)]).judged == 1
    assert last_verdicts(look) == {("H26", 0): "event.accepted"}


def test_a_source_that_skips_every_other_number_does_not_slow_the_ledger_down(
    ledger: Ledger, look: psycopg.Connection[Any]
) -> None:
    lane = Lane("H26")
    seconds = []
    for _ in range(8):
        items = [
            lane.say(directive(f"d-{len(lane.items)}", document_type="NO"), sequence=2 * len(lane.items) + 1)
            for _ in range(500)
        ]
        start = time.monotonic()
        ledger.take_in(items)
        seconds.append(time.monotonic() - start)
    assert counts(look)["gap"] == 8 * 500 - 1
    assert one(look, "select sum(missing) from ledger.gap") == 8 * 500 - 1
    assert min(seconds[4:]) < 5 * min(seconds[:4]), "as fast with four thousand missing as with five hundred"
    print("seconds a batch, most with most gaps:", [round(took, 2) for took in seconds])


def test_a_source_with_more_gaps_than_are_loaded_is_judged_as_if_all_were(
    ledger: Ledger, look: psycopg.Connection[Any]
) -> None:
    """Many small batches that touch old gaps and new ones, against the ledger that has everything in memory."""
    seed = fresh_seed("many gaps")
    random, lane, memory = Random(seed), Lane("H26"), MemoryLedger()
    last = 9 * MOST_GAPS
    missing, come = [n for n in range(1, last) if n % 3], range(3, last + 1, 3)
    items = [lane.say(directive(f"d-{n}", document_type="NO"), sequence=n) for n in come]
    random.shuffle(missing)
    for place, n in enumerate(missing[: len(missing) // 3]):
        if place == len(missing) // 6:
            items.append(
                lane.put(manifest("H26", first_sequence=last // 5, last_sequence=last, delivered_sequence=last))
            )
        items.append(lane.say(directive(f"d-{n}", document_type="NO"), sequence=n))
        if place % 7 == 0:
            items.append(lane.again(random.choice(items[: len(come)])))
        if place % 11 == 0:
            taken = random.choice(come)
            items.append(lane.say(directive(f"other-{place}", document_type="NO"), sequence=taken))
    items.append(lane.say(directive("anew", document_type="NO"), epoch=2, sequence=3))
    for item in items:
        memory.take(item)
    take_all(ledger, items, 37)
    assert counts(look)["gap"] > 2 * MOST_GAPS, "the test is about more than are loaded"
    listed = "select epoch, first, last, state, hold_until from ledger.gap order by epoch, first"
    gaps = sorted(memory.source("H26").gaps.values(), key=lambda gap: gap.name)
    assert rows(look, listed) == [(*gap.name, gap.last, gap.state.value, gap.hold_until) for gap in gaps]
    assert last_verdicts(look) == {place: said[-1] for place, said in memory.verdicts().items()}
    assert {"open", "gone"} == {state for _, _, _, state, _ in rows(look, listed)}


# ---- what was held -----------------------------------------------------------------------------------------------

BEHIND = 10
"""So many events each portal has behind the one that is missing."""


def held_back(ledger: Ledger, lanes: dict[str, list[str]]) -> dict[str, Lane]:
    """Portals whose first event is missing, and the others held: by agency the portals."""
    found = {agency: Lane(agency) for agency in lanes}
    for agency, portals in lanes.items():
        later = [
            found[agency].say(directive(f"d-{portal}-{number}"), portal=portal, sequence=number)
            for portal in portals
            for number in range(2, 2 + BEHIND)
        ]
        ledger.take_in(later)
    return found


def steps(look: psycopg.Connection[Any], kind: str) -> list[int]:
    """How many positions each step of a kind took."""
    return [
        after - before
        for before, after in rows(look, "select position, after from ledger.step where kind = %s order by id", kind)
        if after > before
    ]


def test_what_a_batch_frees_is_taken_up_in_portions(url: str, look: psycopg.Connection[Any]) -> None:
    portals = [f"p{number}" for number in range(16)]
    with opened(url) as ledger:
        lane = held_back(ledger, {"H26": portals})["H26"]
    size = int(one(look, "select max(held_bytes) from ledger.source"))
    assert size > 0
    look.execute("truncate ledger.step")
    firsts = [lane.say(directive(f"d-{portal}-1"), portal=portal, sequence=1) for portal in portals]
    with opened(url, bounds=Bounds(bytes_at_once=4 * size)) as ledger:
        taken = ledger.take_in(firsts)
    assert (taken.judged, taken.replayed) == (16 * (BEHIND + 1), 0)
    assert taken.next_offsets == {"H26": len(lane.items)}
    assert sum(taken.by_status.values()) == 16 * (BEHIND + 1)
    assert len(portions := steps(look, "records")) == 4
    assert max(portions) < 16 * BEHIND / 2
    assert one(look, "select count(*) from ledger.event where rule = 'event.accepted'") == 16 * (BEHIND + 1)
    assert (counts(look)["waiting"], counts(look)["gap"]) == (0, 0)
    assert_sound(look)


def test_holds_that_are_over_at_once_end_lane_by_lane(url: str, look: psycopg.Connection[Any]) -> None:
    with opened(url) as ledger:
        lanes = held_back(ledger, {agency: ["www", "edu"] for agency in AGENCIES})
        look.execute("truncate ledger.step")
        later = {agency: lane.now + timedelta(minutes=2) for agency, lane in lanes.items()}
        assert ledger.tend_gaps(later) == len(AGENCIES) * 2 * BEHIND
        assert ledger.tend_gaps(later) == 0
    assert len(steps(look, "holds")) == len(AGENCIES)
    assert counts(look)["waiting"] == 0
    assert_sound(look)


def test_what_nothing_holds_any_more_once_a_gap_is_closed_goes_on_at_once_and_the_rest_waits(
    url: str, look: psycopg.Connection[Any]
) -> None:
    with opened(url) as ledger:
        lane = Lane("H26")
        ledger.take_in([lane.say(directive(f"d-{number}"), sequence=number) for number in (2, 3, 5)])
        with psycopg.connect(url) as operator:
            (closed,) = close_gap(operator, "H26", "www", 1, 1, who="han@example.gov.vn", why="given up")
        assert (closed.first, closed.last, closed.state) == (1, 1, GapState.CLOSED)
        assert ledger.tend_gaps({"H26": lane.now + 2 * MARGIN}) == 2
    final = "select lane_offset from ledger.event where rule = 'event.accepted' order by 1"
    assert rows(look, final) == [(0,), (1,)]
    gaps = "select first, state, hold_until is null from ledger.gap order by 1"
    assert rows(look, gaps) == [(1, "closed", True), (4, "open", False)]
    assert one(look, "select held from ledger.source") == 1
    assert_sound(look)


# ---- the waiting room --------------------------------------------------------------------------------------------


def test_what_waited_too_long_is_refused_in_portions(url: str, look: psycopg.Connection[Any]) -> None:
    lane = Lane("H26")
    now = [lane.now + timedelta(days=1)]
    with opened(url, bounds=Bounds(wait=timedelta(hours=1)), clock=lambda: now[0]) as ledger:
        ledger.take_in([lane.say(answer(f"H26-{number:04}")) for number in range(700)])
        ledger.take_in([lane.say(answer("H26-9999"), after=timedelta(days=2))])
        hear_lanes(url, {"H26": now[0]})
        first, second, third = ledger.expire(), ledger.expire(), ledger.expire()
    assert (first + second, third) == (700, 0)
    assert counts(look)["waiting"] == 1
    refused = "select count(*) from ledger.event where rule = 'waiting.time-up' and final and status = 'REJECTED'"
    assert one(look, refused) == 700
    assert_sound(look)


def test_large_events_that_waited_too_long_are_refused_a_few_at_a_time(url: str, look: psycopg.Connection[Any]) -> None:
    lane = Lane("H26")
    now = [lane.now + timedelta(days=1)]
    bounds = Bounds(wait=timedelta(hours=1), bytes_at_once=2_000)
    with opened(url, bounds=bounds, clock=lambda: now[0]) as ledger:
        ledger.take_in([lane.say(answer(f"H26-{number:04}")) for number in range(60)])
        ledger.take_in([lane.say(answer("H26-9999"), after=timedelta(days=2))])
        size = one(look, "select avg(octet_length(value)) from ledger.waiting")
        hear_lanes(url, {"H26": now[0]})
        portions = [ledger.expire() for _ in range(60)]
    assert sum(portions) == 60
    assert 1 < portions[0] <= 2_000 / float(size) + 1
    assert_sound(look)


def test_after_an_outage_across_its_bound_an_event_waits_until_the_lane_of_its_cause_is_read(
    url: str, look: psycopg.Connection[Any]
) -> None:
    own, other = Lane("H29"), Lane("H26")
    began = own.now
    back = began + timedelta(days=7, hours=1)
    with opened(url, clock=lambda: back) as ledger:
        ledger.take_in([own.say(answer())])
        hear_lanes(url, {"H29": back, "H26": began})
        assert ledger.expire() == 0
        ledger.take_in([other.say(receipt(addressed_to="H29"), after=timedelta(days=6, hours=23))])
        hear_lanes(url, {"H26": back})
        assert ledger.expire() == 0
    assert last_verdicts(look)["H29", 0] == "event.accepted"


def test_a_lane_that_stays_unheard_while_others_are_heard_is_waited_for_a_day(
    url: str, look: psycopg.Connection[Any]
) -> None:
    own = Lane("H29")
    now = [own.now + timedelta(days=7, hours=23)]
    with opened(url, clock=lambda: now[0]) as ledger:
        ledger.take_in([own.say(answer())])
        hear_lanes(url, {"H29": own.now, "H26": own.now})
        hear_lanes(url, {"H29": now[0]})
        assert ledger.expire() == 0
        now[0] += timedelta(hours=2)
        assert ledger.expire() == 0, "the lane that is heard was not heard lately either: the centre was away"
        hear_lanes(url, {"H29": now[0]})
        assert ledger.expire() == 1
    assert last_verdicts(look)["H29", 0] == "waiting.time-up"


def test_what_a_gap_holds_on_the_lane_of_its_cause_is_waited_for(url: str, look: psycopg.Connection[Any]) -> None:
    own, other = Lane("H29"), Lane("H26")
    with opened(url, clock=lambda: other.now + timedelta(days=1)) as ledger:
        ledger.take_in([other.say(directive())])
        ledger.take_in([own.say(answer())])
        in_time = timedelta(days=6, hours=23, minutes=59, seconds=50)
        ledger.take_in([other.say(receipt(addressed_to="H29"), sequence=3, after=in_time)])
        hear_lanes(url, {"H26": other.now + timedelta(hours=1)})
        assert ledger.expire() == 0
        ledger.tend_gaps({"H26": other.now + timedelta(hours=1)})
    assert last_verdicts(look)["H29", 0] == "event.accepted"


def test_time_is_the_databases_whatever_the_clock_of_a_workers_machine(
    url: str, look: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = time.time() + 3_600
    monkeypatch.setattr(time, "time", lambda: ahead)
    with opened(url) as ledger:
        ledger.take_in([Lane("H26").say(directive())])
        told = ledger.time.now()
    assert abs((told - one(look, "select clock_timestamp()")).total_seconds()) < 60
    assert one(look, "select max(abs(extract(epoch from judged_at - clock_timestamp()))) from ledger.event") < 60


def test_a_cause_that_comes_while_its_effect_is_being_refused_loses_neither(
    url: str, look: psycopg.Connection[Any]
) -> None:
    lane = Lane("H26")
    late = lane.now + timedelta(days=8)
    with opened(url, clock=lambda: late) as ledger, opened(url, clock=lambda: late) as other:
        ledger.take_in([lane.say(answer(f"H26-{number:04}")) for number in range(50)])
        receipts = [
            lane.say(receipt(f"H26-{number:04}", number), after=timedelta(milliseconds=1)) for number in range(50)
        ]
        hear_lanes(url, {"H26": late})
        expiring = in_thread(other.expire)
        for item in receipts:
            ledger.take_in([item])
        expired = expiring()
    resolved = one(look, "select count(*) from ledger.case where state = 'RESOLVED'")
    assert expired + resolved == 50
    assert counts(look)["case"] == 50
    assert counts(look)["waiting"] == 0
    assert_sound(look)


# ---- when others die, freeze or restart --------------------------------------------------------------------------


def frozen_worker(url: str, moment: str) -> subprocess.Popen[bytes]:
    """A worker that has frozen itself while it held the ledger."""
    support = Path(__file__).parents[1] / "support"
    worker = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("zombie_worker.py")), url, moment],
        env={**os.environ, "PYTHONPATH": str(support)},
        stdout=subprocess.PIPE,
    )
    wait_until(lambda: Path(f"/proc/{worker.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T", "frozen")
    return worker


@pytest.mark.parametrize("moment", ["locked", "copying"])
def test_a_frozen_worker_lets_the_others_go_on_and_repeats_nothing_when_it_wakes(
    url: str, look: psycopg.Connection[Any], moment: str
) -> None:
    worker = frozen_worker(url, moment)
    try:
        start = time.monotonic()
        lane = Lane("H29")
        with opened(url) as ledger:
            assert ledger.take_in([lane.say(directive())]).judged == 1
            print(f"{moment}: others waited {time.monotonic() - start:.1f} s")
            same = Lane("H26")
            ledger.take_in([same.say(directive(f"d-{number}")) for number in range(3)])
        worker.send_signal(signal.SIGCONT)
        said, _ = worker.communicate(timeout=PATIENCE_S)
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait()
    assert said.decode().splitlines()[-1] == "judged 0, replayed 3"
    assert time.monotonic() - start < 30
    assert_sound(look)


@pytest.fixture(scope="module")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL that a test may kill."""
    state = StateFolder.at(tmp_path_factory.mktemp("own-postgres"))
    for folder in (state.logs, state.run):
        folder.mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    postgres = Postgres(state, port, new_passwords())
    postgres.start()
    migrate(postgres.uri("portalbus"))
    yield postgres
    postgres.stop()


def test_a_database_that_is_stopped_and_killed_in_the_middle_is_waited_for(own_postgres: Postgres) -> None:
    url = own_postgres.uri("portalbus")
    lane = Lane("H26")
    items = [lane.say(directive(f"d-{number}")) for number in range(3_000)]
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        time.sleep(min(seconds, 0.2))

    with opened(url, pause=pause) as ledger:
        ledger.open_lanes(["H26"])
        working = in_thread(partial(take_all, ledger, items, 20))
        for end in (own_postgres.stop, own_postgres.kill, own_postgres.kill):
            with psycopg.connect(url, autocommit=True) as connection:
                wait_for_progress(connection)
            end()
            own_postgres.start()
        taken = working()
    assert pauses, "the database was never missed"
    assert sum(part.judged for part in taken) + sum(part.replayed for part in taken) == 3_000
    with psycopg.connect(url) as look:
        assert one(look, "select count(*) from ledger.event where rule = 'event.accepted'") == 3_000
        assert_sound(look)


def test_an_error_that_would_come_again_is_raised_and_not_waited_out(url: str) -> None:
    session = Session(url, application="worker", options=WORKER_OPTIONS, pause=lambda _: pytest.fail("waited"))
    words = " ".join(f"{number:020d}" for number in range(60_000))
    with pytest.raises(psycopg.errors.ProgramLimitExceeded):
        session.transact(lambda connection: connection.execute("select to_tsvector('simple', %s)", (words,)))
    session.close()


def test_ids_are_unique_by_lane_agency_in_the_database_too(ledger: Ledger, look: psycopg.Connection[Any]) -> None:
    h26, h29 = Lane("H26"), Lane("H29")
    ledger.take_in([h26.say(directive(), id=event_id(7)), h29.say(directive(), id=event_id(7))])
    ledger.take_in([h26.say(directive("d-2"), id=event_id(7))])
    assert last_verdicts(look) == {
        ("H26", 0): "event.accepted",
        ("H29", 0): "event.accepted",
        ("H26", 1): "event.id-reused",
    }
    ledger.take_in([h29.say(receipt("H29-0001", 5)), h26.say(receipt("H26-0001", 5))])
    assert (
        one(look, "select rule from ledger.event where agency = 'H26' and lane_offset = 2") == "case.public-code-taken"
    )
    assert public_code(5) == one(look, "select public_code from ledger.case")


def test_an_operators_block_is_kept_while_batches_go_through(ledger: Ledger, look: psycopg.Connection[Any]) -> None:
    lane = Lane("H26")
    ledger.take_in([lane.say(directive()), lane.put(manifest("H26", delivered_sequence=1))])
    look.execute("update ledger.source set status = 'blocked'")
    item = lane.say(directive("d-2"))
    ledger.take_in([item, lane.put(manifest("H26", 1, last_sequence=10))])
    assert rows(look, "select status, last_sequence, manifest->>'last_sequence' from ledger.source") == [
        ("blocked", 1, "10")
    ]
    look.execute("update ledger.source set status = 'active'")
    ledger.take_in([lane.again(item)])
    assert [rule for _, rule in sorted(last_verdicts(look).items())] == [
        "event.accepted",
        "source.blocked",
        "event.accepted",
    ]
