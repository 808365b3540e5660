"""One run of the demo on a bus that is up: prepare, play the day, wait for the verdicts, check everything."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from portalbus.infra.bus.addresses import Addresses
from portalbus.infra.demo import topics_read
from portalbus.infra.demo.cast import choose_cast
from portalbus.infra.demo.clockwork import Clockwork
from portalbus.infra.demo.day import last_working_day
from portalbus.infra.demo.expectation import expect
from portalbus.infra.demo.figures import Figures, figures
from portalbus.infra.demo.joined.joined_portals import JoinedPortals, doors_here
from portalbus.infra.demo.legacy import LegacySystems
from portalbus.infra.demo.plan import Plan
from portalbus.infra.demo.portals import SimulatedPortals
from portalbus.infra.demo.scenario import FEWEST_EVENTS, write_plan
from portalbus.infra.demo.sent import SentLog
from portalbus.infra.demo.store_check import check_store
from portalbus.infra.demo.verdict_check import (
    Place,
    check_canonical,
    check_ledger,
    check_verdict_topics,
    header,
    lane_records,
    match_steps,
)
from portalbus.infra.demo.watch import LedgerWatch
from portalbus.infra.record_reading import RecordReader
from portalbus.schemas import avro_files
from portalbus.schemas.directory import directory
from portalbus.schemas.registration import SchemaIds
from portalbus.schemas.registry import SchemaRegistry
from portalbus.schemas.topics import CANONICAL, LANE_PREFIX, VERDICT_PREFIX, lane_of, verdicts_of
from portalbus.streams.relaying.position import read_position

PATIENCE_S = 60.0
LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class DemoOptions:
    """What steers a run: `rate` is events a second."""

    portals: int = 43
    events: int = 2_000
    seed: int = 1
    rate: float = 80.0


def check_options(options: DemoOptions) -> None:
    """Raises ValueError, with what is allowed, for options with which no day can be planned."""
    choose_cast(directory(), options.portals, datetime.now(UTC).date())
    if options.events < FEWEST_EVENTS:
        raise ValueError(f"--events must be at least {FEWEST_EVENTS}, so that every kind of fault takes part")
    if options.rate <= 0:
        raise ValueError("--rate must be more than 0 events a second")


@dataclass(frozen=True)
class Progress:
    """How far the day is: what the live table shows."""

    phase: str
    plan: Plan
    sent: dict[str, int] = field(default_factory=dict)
    standing: dict[tuple[str, str], int] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """A run: its figures, and every difference from what should have happened."""

    options: DemoOptions
    plan: Plan
    figures: Figures
    problems: tuple[str, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """True when every event has exactly one verdict, the right one, and the store equals what was sent."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """For the report file."""
        return {
            "ok": self.ok,
            "problems": list(self.problems),
            "seed": self.options.seed,
            "portals": self.options.portals,
            "events": self.options.events,
            "rate": self.options.rate,
            "day": self.plan.day.isoformat(),
            "tag": self.plan.tag,
            "plan_digest": self.plan.digest,
            "agencies": [agency.code for agency in self.plan.cast],
            "seconds": round(self.seconds, 2),
            **self.figures.as_json(),
        }


class DemoRun:
    """One run. `tell` hears how far it is, a few times a second."""

    def __init__(
        self, options: DemoOptions, addresses: Addresses, home: Path, tell: Callable[[Progress], None]
    ) -> None:
        self._options = options
        self._addresses = addresses
        # Where `portalbus publish` has its own: a source has one outbox, whoever publishes through it.
        self._home = home
        self._outboxes = home / "outbox"
        self._ids = SchemaIds(SchemaRegistry(addresses.registry_url), home / "run" / "schema-ids.json")
        self._tell = tell
        self._log = SentLog()

    def play(self) -> Outcome:
        """The whole run. Raises what stopped a portal, when one was stopped."""
        plan = self._write_plan()
        clockwork = Clockwork(self._options.events / self._options.rate)
        self._tell(Progress("opening the portals", plan))
        with (
            SimulatedPortals(plan, self._addresses, self._outboxes, clockwork, self._log) as portals,
            JoinedPortals(plan, self._addresses, self._home, clockwork, self._log) as joined,
        ):
            portals.finish(PATIENCE_S)  # what a run that was broken off has left in the outboxes
            marks = self._marks(plan)
            watch = LedgerWatch(self._addresses.database_url)
            ids = {name: self._ids.id_of(name) for name in avro_files.LANE_TYPES}
            legacy = LegacySystems(plan, self._addresses, ids, clockwork, self._log, watch)
            watch.start()
            try:
                began = time.monotonic()
                self._play_day(plan, clockwork, (portals, joined), legacy, watch, began)
                seconds = time.monotonic() - began
                self._tell(self._progress("checking every event and every field", plan, watch, began))
                return self._check(plan, watch, marks, ids["SourceManifest"], seconds)
            finally:
                clockwork.cancel()
                watch.stop()

    def _write_plan(self) -> Plan:
        now = datetime.now(UTC)
        cast = choose_cast(directory(), self._options.portals, now.date())
        with self._connect() as connection:
            rows = connection.execute("select directive_id, version from ledger.directive where agency = 'G22'")
            heads = dict(rows.fetchall())
        tag = f"{int(time.time()):x}"
        doors = doors_here(self._addresses, self._home)
        return write_plan(self._options.seed, cast, self._options.events, last_working_day(now), tag, heads, doors)

    def _marks(self, plan: Plan) -> dict[tuple[str, int], int]:
        """Where every topic ends before the day, once the ledger and the relay have come to rest."""
        lanes = [lane_of(agency.code) for agency in plan.cast]
        deadline = time.monotonic() + PATIENCE_S
        with self._connect() as connection:
            while time.monotonic() < deadline and not self._at_rest(
                connection, topics_read.ends(self._addresses.bootstrap, lanes)
            ):
                time.sleep(LOOK_EVERY_S)
        topics = [*lanes, *(verdicts_of(agency.code) for agency in plan.cast), *CANONICAL.values()]
        return topics_read.ends(self._addresses.bootstrap, topics)

    def _at_rest(self, connection: psycopg.Connection[Any], lane_ends: dict[tuple[str, int], int]) -> bool:
        nexts = dict(connection.execute("select 'lane.' || agency, next_offset from ledger.lane").fetchall())
        return all(nexts.get(lane, 0) >= end for (lane, _), end in lane_ends.items()) and _relay_is_level(
            connection, self._addresses.bootstrap
        )

    def _play_day(
        self,
        plan: Plan,
        clockwork: Clockwork,
        open_: tuple[SimulatedPortals, JoinedPortals],
        legacy: LegacySystems,
        watch: LedgerWatch,
        began: float,
    ) -> None:
        portals, joined = open_
        clockwork.begin()
        portals.start()
        joined.start()
        legacy.start()
        wanted = len(plan.steps)
        while len(self._log.all()) < wanted and not clockwork.failures:
            self._tell(self._progress("the working day", plan, watch, began))
            time.sleep(LOOK_EVERY_S)
        if clockwork.failures:
            raise clockwork.failures[0]
        legacy.finish()
        portals.finish(PATIENCE_S)
        self._tell(self._progress("waiting for the last verdicts", plan, watch, began))
        watch.wait_for(sum(self._log.counts().values()), PATIENCE_S)
        self._tell(self._progress("waiting for the last verdicts", plan, watch, began))

    def _progress(self, phase: str, plan: Plan, watch: LedgerWatch, began: float) -> Progress:
        return Progress(phase, plan, dict(self._log.counts()), dict(watch.standing()), time.monotonic() - began)

    def _check(
        self, plan: Plan, watch: LedgerWatch, marks: dict[tuple[str, int], int], manifest_schema: int, seconds: float
    ) -> Outcome:
        bootstrap = self._addresses.bootstrap
        lanes = {place: offset for place, offset in marks.items() if place[0].startswith(LANE_PREFIX)}
        starts = {topic.removeprefix(LANE_PREFIX): offset for (topic, _), offset in lanes.items()}
        records = list(lane_records(topics_read.read_from(bootstrap, lanes), manifest_schema))
        steps, problems = match_steps(plan, self._log, records)
        since = watch.start_position
        with self._connect() as connection:
            problems += check_ledger(connection, steps, since, starts)
            problems += check_store(connection, expect(plan), since)
            deadline = time.monotonic() + PATIENCE_S
            while not _relay_is_level(connection, self._addresses.bootstrap) and time.monotonic() < deadline:
                time.sleep(LOOK_EVERY_S)
            rows = connection.execute(
                "select agency, lane_offset, status, rule from ledger.event where position > %s", (since,)
            )
            now: dict[Place, tuple[str, str]] = {(row[0], row[1]): (row[2], row[3]) for row in rows}
        verdicts = {place: offset for place, offset in marks.items() if place[0].startswith(VERDICT_PREFIX)}
        problems += check_verdict_topics(
            _verdicts(bootstrap, SchemaRegistry(self._addresses.registry_url), verdicts, starts), steps
        )
        canonical = {place: offset for place, offset in marks.items() if place[0] in CANONICAL.values()}
        ids = [header(message, "ce_id") for message in topics_read.read_from(bootstrap, canonical)]
        problems += check_canonical(ids, steps, self._log)
        found = figures(plan, self._log, steps, watch.seen_first(), now)
        return Outcome(self._options, plan, found, tuple(problems), seconds)

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._addresses.database_url, autocommit=True, connect_timeout=5)


def _relay_is_level(connection: psycopg.Connection[Any], bootstrap: str) -> bool:
    """True when the relay has sent everything that was judged, by the position that it keeps in Kafka."""
    row = connection.execute("select next - 1 from ledger.position").fetchone()
    return row is None or read_position(bootstrap, {}) >= row[0]


def _verdicts(
    bootstrap: str, registry: SchemaRegistry, places: dict[tuple[str, int], int], starts: dict[str, int]
) -> list[tuple[Place, bool, str]]:
    reader = RecordReader(registry)
    found = []
    for message in topics_read.read_from(bootstrap, places):
        _, verdict = reader.read(message.value())
        if verdict["offset"] >= starts.get(verdict["agency"], 0):
            found.append(((verdict["agency"], verdict["offset"]), verdict["final"], verdict["rule"]))
    return found
