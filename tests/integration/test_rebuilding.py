"""A rebuild from the lanes gives the same rows, whatever happened; what was altered is named, and put right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from random import Random
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from bus_events import NOON, Lane, answer, directive, manifest, manifest_value, receipt, value_of, writers
from histories import AGENCIES, PORTALS, past
from ledger_facts import one, rows
from ledger_rows import hear_lanes
from memory_ledger import directory
from portalbus.schemas.headers import cloudevents_headers
from portalbus.schemas.models import Event
from portalbus.streams.decoding.contents import DEADLY, content_of
from portalbus.streams.judgement.bounds import Bounds
from portalbus.streams.judgement.docket import Item, Unreadable
from portalbus.streams.ledger.decider import Decider
from portalbus.streams.ledger.gap_desk import close_gap, list_gaps
from portalbus.streams.ledger.ledger import Ledger
from portalbus.streams.ledger.source_desk import SourceStatus, list_sources, set_source
from portalbus.streams.parking.asking import Filters, parked_places
from portalbus.streams.parking.deciding import Parking
from portalbus.streams.rebuilding import exchanging
from portalbus.streams.rebuilding.comparing import TableDifference, compare, verdict_changes
from portalbus.streams.rebuilding.exchanging import OtherWay, TablesHeld
from portalbus.streams.rebuilding.fold_tables import FOLD, KEPT
from portalbus.streams.rebuilding.rebuild import Rebuild
from portalbus.streams.rebuilding.replaying import StepsMissing
from portalbus.streams.rebuilding.shadow import in_shadow
from promises import promised
from remembered_lanes import RememberedLanes
from seeds import fresh_seed

DEADLY_RECORD = Unreadable(DEADLY, "the decoder died on this record")
BROKEN = Unreadable("record.undecodable", "EOFError while decoding")
BOUNDS = Bounds(
    wait=timedelta(seconds=20), gap_hold=timedelta(seconds=5), waiting_per_key=4, held_per_source=6, bytes_at_once=2_000
)
BLOCKED = "select agency, portal from ledger.source where status = 'blocked' order by 1, 2"
HAN = Decider("han@example.gov.vn", "mended")


@pytest.fixture
def url(ledger_url: str) -> Iterator[str]:
    """A ledger with nothing in it."""
    empty(ledger_url)
    yield ledger_url


def empty(url: str) -> None:
    with psycopg.connect(url) as connection:
        tables = [table.name for table in FOLD] + [name for name in KEPT if name not in ("position", "watch")]
        names = sql.SQL(", ").join(sql.Identifier("ledger", name) for name in tables)
        connection.execute(sql.SQL("truncate {} restart identity").format(names))
        connection.execute("update ledger.position set next = 1")


@pytest.fixture
def look(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to look at what is in the ledger."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def differing(found: list[TableDifference]) -> dict[str, tuple[int, int, int]]:
    """Missing, added and altered rows of the tables that differ."""
    return {table.table: (table.missing, table.added, table.altered) for table in found if table.rows}


def rebuilt(url: str, lanes: RememberedLanes) -> list[TableDifference]:
    """What a rebuild finds."""
    with Rebuild(url, lanes, writers(), directory()) as rebuild:
        rebuild.run()
        with rebuild.one_moment() as looking:
            return compare(looking)


def broken(lane: Lane, name: str, version: int, why: Unreadable = BROKEN) -> Item:
    """A record that the worker of that day cannot read."""
    event = Event(lane.next_envelope(), directive(name, version))
    headers = cloudevents_headers(event.envelope, "DirectivePublished")
    return lane.put(why, lane_key=event.key.encode(), value=value_of(event), headers=headers)


class Life:
    """A ledger to which everything happens that can: records in any order, timers, operators, other voices."""

    def __init__(self, url: str, seed: int, steps: int) -> None:
        self.url = url
        self.random = Random(seed)
        history = past(Random(seed), steps)
        for lane in history.lanes.values():
            self._disturb(lane)
        items = history.interleaved(self.random)
        for lane in history.lanes.values():  # lane times that pass: every record comes up to nine seconds later
            now = NOON.timestamp()
            for number, item in enumerate(lane.items):
                now += self.random.choice((0.001, 0.5, 9))
                lane.items[number] = Item(item.record._replace(timestamp_ms=round(now * 1000)), item.content)
        fresh = {
            (item.record.agency, item.record.offset): item for lane in history.lanes.values() for item in lane.items
        }
        self.items = [self._as_read(fresh[item.record.agency, item.record.offset]) for item in items]
        self.lanes = RememberedLanes(self.items)
        self.now = NOON

    def _disturb(self, lane: Lane) -> None:
        for _ in range(self.random.randint(0, 4)):
            why = self.random.choice((BROKEN, BROKEN, DEADLY_RECORD))
            broken(lane, f"d-{self.random.randint(1, 3)}", self.random.randint(1, 4), why)
        for portal in PORTALS:
            for _ in range(self.random.randint(0, 2)):
                stated = manifest(lane.agency, portal=portal, delivered_sequence=self.random.randint(0, 30))
                lane.put(stated, value=manifest_value(stated))

    def _as_read(self, item: Item) -> Item:
        """An item as the worker reads it, but where it could not read it on that day."""
        not_then = item.content in (BROKEN, DEADLY_RECORD)
        return item if not_then else Item(item.record, content_of(item.record.value, writers()))

    def live(self) -> None:
        """Lives until all records are judged, and some while longer."""
        with closing(Ledger(self.url, writers(), directory(), bounds=BOUNDS, clock=lambda: self.now)) as ledger:
            ledger.open_lanes(AGENCIES)
            rest = list(self.items)
            while rest:
                cut = self.random.randint(1, 9)
                some, rest = rest[:cut], rest[cut:]
                ledger.take_in(some)
                self.now = max(self.now, *(intake_time(item) for item in some))
                self._something_else(ledger, rest)
            self.now += timedelta(seconds=self.random.choice((0, 7, 60)))
            self._something_else(ledger, rest)

    def _something_else(self, ledger: Ledger, rest: list[Item]) -> None:
        kind = self.random.random()
        still = {item.record.agency: intake_time(item) for item in reversed(rest)}
        if kind < 0.15:
            hear_lanes(self.url, {agency: min(self.now, still.get(agency, self.now)) for agency in AGENCIES})
            ledger.expire()
        elif kind < 0.3:
            ledger.tend_gaps({agency: min(self.now, still.get(agency, self.now)) for agency in AGENCIES})
        elif kind < 0.4:
            self.decide()
        elif kind < 0.45:
            self._give_up()
        elif kind < 0.5:
            self._block()

    def _give_up(self) -> None:
        """An operator closes gaps, or the middle of one."""
        with psycopg.connect(self.url) as connection:
            for gap in list_gaps(connection):
                if self.random.random() < 0.3:
                    first = self.random.randint(gap.first, gap.last)
                    source = (gap.agency, gap.portal, first, self.random.randint(first, gap.last))
                    close_gap(connection, *source, who=HAN.who, why=HAN.why, epoch=gap.epoch)

    def _block(self) -> None:
        """An operator blocks sources, or lets them speak again."""
        with psycopg.connect(self.url) as connection:
            for source in list_sources(connection):
                if self.random.random() < 0.3:
                    status = SourceStatus.ACTIVE if source.status == "blocked" else SourceStatus.BLOCKED
                    set_source(connection, source.agency, source.portal, status, who=HAN.who, why=HAN.why)

    def decide(self) -> None:
        """An operator decides on some of the parked records."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            parking = Parking(connection, writers(), directory(), BOUNDS, clock=lambda: self.now)
            places = [place for place in parked_places(connection, Filters()) if self.random.random() < 0.5]
            decide = parking.redrive if self.random.random() < 0.7 else parking.discard
            list(decide(places, HAN))


def block(url: str, agency: str, portal: str, status: SourceStatus) -> None:
    with psycopg.connect(url) as connection:
        assert set_source(connection, agency, portal, status, who=HAN.who, why=HAN.why)


def intake_time(item: Item) -> Any:
    return NOON + timedelta(milliseconds=item.record.timestamp_ms - NOON.timestamp() * 1000)


def test_every_table_is_a_fold_of_the_lanes_or_is_not(look: psycopg.Connection[Any]) -> None:
    there = {
        name for (name,) in rows(look, "select table_name from information_schema.tables where table_schema = 'ledger'")
    }
    assert there == {table.name for table in FOLD} | set(KEPT)
    assert not {table.name for table in FOLD} & set(KEPT)


@pytest.mark.parametrize("part", range(4))
def test_whatever_happened_a_rebuild_gives_the_same_rows(url: str, part: int) -> None:
    first = fresh_seed("lives of a ledger") + 10 * part
    for seed in range(first, first + 10):
        empty(url)
        life = Life(url, seed, 120)
        life.live()
        found = rebuilt(url, life.lanes)
        with promised():
            assert differing(found) == {}, f"seed {seed}: {[table.first[:3] for table in found if table.rows]}"


@pytest.fixture
def life(url: str) -> Life:
    """A ledger in which much has happened."""
    life = Life(url, 7, 120)
    life.live()
    life.decide()
    return life


# What somebody does to a row of each table behind the bus.
TAMPERED = {
    "directive": "update ledger.directive set title = 'Khác' where key = (select min(key) from ledger.directive)",
    "directive_version": "delete from ledger.directive_version where version = 1 and key ="
    " (select min(key) from ledger.directive_version)",
    "case": "update ledger.case set owner = 'B01' where case_id = (select min(case_id) from ledger.case)",
    "event": "update ledger.event set rule = 'event.odd' where position = (select max(position) from ledger.event)",
    "source": "update ledger.source set last_sequence = last_sequence + 5 where agency = 'H26' and portal = 'www'",
    "lane": "update ledger.lane set heartbeats = heartbeats + 1 where agency = 'H26'",
    "canary": "insert into ledger.canary values ('H26', 'www', now(), 1, 0)",
}


@pytest.mark.parametrize("table", TAMPERED)
def test_a_row_altered_behind_the_bus_is_named_and_an_exchange_puts_it_right(
    url: str, look: psycopg.Connection[Any], life: Life, table: str
) -> None:
    look.execute(TAMPERED[table])
    with Rebuild(url, life.lanes, writers(), directory()) as rebuild:
        rebuild.run()
        with rebuild.one_moment() as looking:
            found = compare(looking)
        assert list(differing(found)) == [table]
        assert sum(differing(found)[table]) == 1
        rebuild.exchange()
    assert differing(rebuilt(url, life.lanes)) == {}
    assert rows(look, "select 1 from information_schema.schemata where schema_name like 'ledger\\_%%'") == []


def test_an_exchange_behind_a_long_reader_names_it_and_changes_nothing(
    url: str, look: psycopg.Connection[Any], life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchanging, "ATTEMPTS", 2)
    look.execute(TAMPERED["directive"])
    tables: LiteralString = "select oid from pg_class where relnamespace = 'ledger'::regnamespace order by oid"
    before = rows(look, tables)
    with psycopg.connect(url, application_name="report of the year") as reader:
        reader.execute("select count(*) from ledger.event")
        with Rebuild(url, life.lanes, writers(), directory()) as rebuild:
            rebuild.run()
            with pytest.raises(TablesHeld, match="Nothing was changed") as held:
                rebuild.exchange()
        said = str(held.value)
        assert f"session {reader.info.backend_pid} (report of the year, user {reader.info.user}, since 20" in said
        assert said.count("session ") == 1, "nobody else is named"
    assert rows(look, tables) == before
    with Rebuild(url, life.lanes, writers(), directory()) as rebuild:
        rebuild.run()
        rebuild.exchange()
    assert differing(rebuilt(url, life.lanes)) == {}


def test_nobodys_words_are_shown(url: str, look: psycopg.Connection[Any], life: Life) -> None:
    look.execute("update ledger.case set content = 'Nguyễn Văn A', subject = 'Bí mật', answer = 'Cũ'")
    shown = repr([table.first for table in rebuilt(url, life.lanes)])
    assert "content" in shown
    assert not any(word in shown for word in ("Nguyễn", "Bí mật", "Cũ", "Trả lời", "Đèn"))


def test_after_an_exchange_a_worker_goes_on_with_its_prepared_statements_and_a_rebuild_still_agrees(
    url: str, look: psycopg.Connection[Any]
) -> None:
    lane = Lane("H26")
    items = [lane.say(directive(f"d-{number}")) for number in range(40)]
    items += [lane.say(receipt("H26-0001")), lane.say(answer("H26-0001"))]
    lanes = RememberedLanes(items)
    with closing(Ledger(url, writers(), directory())) as worker:
        worker.open_lanes(AGENCIES)
        for item in items[:20]:  # psycopg prepares what it has sent five times
            worker.take_in([item])
        for _ in range(2):
            with Rebuild(url, lanes, writers(), directory()) as rebuild:
                rebuild.run()
                rebuild.exchange()
            for item in items[20:31]:
                worker.take_in([item])
            items = items[11:]
    assert one(look, "select count(*) from ledger.event where status = 'ACCEPTED'") == 42
    assert differing(rebuilt(url, lanes)) == {}


def test_what_no_lane_tells_goes_along(url: str, look: psycopg.Connection[Any], life: Life) -> None:
    look.execute("update ledger.gap set asked = 17")
    look.execute("grant select on ledger.directive to public")
    kept = "select agency, lane_offset, decided_by, decided_why, decided_at from ledger.parked order by 1, 2"
    before = rows(look, kept)
    blocked = rows(look, BLOCKED)
    assert any(row[2] for row in before)
    gaps = one(look, "select count(*) from ledger.gap")
    assert gaps
    with Rebuild(url, life.lanes, writers(), directory()) as rebuild:
        rebuild.exchange()
    assert rows(look, BLOCKED) == blocked != []
    assert one(look, "select count(*) from ledger.gap where asked = 17") == gaps
    assert rows(look, kept) == before
    assert one(look, "select has_table_privilege('public', 'ledger.directive', 'select')")


def test_a_blocked_source_is_refused_in_a_replay_where_it_was_and_nobody_else(
    url: str, look: psycopg.Connection[Any]
) -> None:
    lane, other = Lane("H26"), Lane("H29")
    with closing(Ledger(url, writers(), directory())) as ledger:
        ledger.open_lanes(AGENCIES)
        ledger.take_in(
            [lane.say(directive("d-1")), lane.say(directive("d-2"), portal="edu"), other.say(directive("d-3"))]
        )
        block(url, "H26", "www", SourceStatus.BLOCKED)
        refused = lane.say(directive("d-4"))
        ledger.take_in([refused, lane.say(directive("d-5"), portal="edu"), other.say(directive("d-6"))])
        block(url, "H26", "www", SourceStatus.ACTIVE)
        ledger.take_in([lane.again(refused), lane.say(directive("d-7"))])
        block(url, "H26", "www", SourceStatus.BLOCKED)
    told = "select key, rule from ledger.event order by agency, lane_offset"
    assert rows(look, told) == [
        ("H26/d-1", "event.accepted"),
        ("H26/d-2", "event.accepted"),
        ("H26/d-4", "source.blocked"),
        ("H26/d-5", "event.accepted"),
        ("H26/d-4", "event.accepted"),
        ("H26/d-7", "event.accepted"),
        ("H29/d-3", "event.accepted"),
        ("H29/d-6", "event.accepted"),
    ]
    lanes = RememberedLanes([*lane.items, *other.items])
    assert differing(rebuilt(url, lanes)) == {}
    look.execute("update ledger.source set status = 'active'")
    assert differing(rebuilt(url, lanes)) == {"source": (0, 0, 1)}, "whoever lifts a block behind the bus is found out"


def test_a_replay_that_goes_another_way_is_never_exchanged(url: str, look: psycopg.Connection[Any], life: Life) -> None:
    look.execute(
        "update ledger.judgement set lane_offset = lane_offset + 1000"
        " where position = (select min(position) from ledger.judgement)"
    )
    before = one(look, "select 'ledger.event'::regclass::oid")
    with Rebuild(url, life.lanes, writers(), directory()) as rebuild, pytest.raises(OtherWay):
        rebuild.exchange()
    assert one(look, "select 'ledger.event'::regclass::oid") == before


def test_other_rules_show_which_verdicts_would_change(url: str, look: psycopg.Connection[Any]) -> None:
    lane = Lane("H26")
    items = [lane.say(directive("d-1", 2)), broken(lane, "d-2", 1)]
    items += [lane.say(directive("d-1", 1), after=timedelta(days=3)), lane.say(directive("d-3"))]
    with closing(Ledger(url, writers(), directory())) as worker:
        worker.open_lanes(AGENCIES)
        worker.take_in(items)
    bounds = {"wait": timedelta(days=2)}
    with Rebuild(url, RememberedLanes(items), writers(), directory(), bounds=bounds, reread=True) as rebuild:
        rebuild.run()
        with rebuild.one_moment() as looking:
            counts, first = verdict_changes(looking)
    assert counts == {
        ("event.accepted", "waiting.time-up"): 1,
        ("record.undecodable", "event.accepted"): 1,
    }
    assert [(change.lane_offset, change.new_rule) for change in first] == [
        (0, "waiting.time-up"),
        (1, "event.accepted"),
    ]


def test_a_step_that_is_gone_is_missed(url: str, look: psycopg.Connection[Any], life: Life) -> None:
    look.execute("delete from ledger.step where id = 1")
    with pytest.raises(StepsMissing, match="records from 0 on were judged"):
        rebuilt(url, life.lanes)
    assert rows(look, "select 1 from information_schema.schemata where schema_name like 'ledger\\_%%'") == []


def test_only_the_ledgers_schema_is_replaced_in_a_statement() -> None:
    assert (
        in_shadow("select ledger.gap.first from ledger.gap") == "select ledger_shadow.gap.first from ledger_shadow.gap"
    )
    assert in_shadow("create schema ledger;") == "create schema ledger_shadow;"
    assert in_shadow("select pg_notify('ledger', 'x')") == "select pg_notify('ledger', 'x')"
    assert in_shadow("select my_ledger.x, ledger") == "select my_ledger.x, ledger"
