"""A full disk under database or broker: what is acknowledged is durable, and all goes on by itself with new space."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from central_process import free_port
from history_report import Report
from killing import RETURN_SECONDS, Portals, acknowledged, agencies_of, judged_history, unrest, until, wait_for_rest
from portalbus.infra.bus.bus import Bus
from portalbus.infra.stack import Endpoints
from portalbus.infra.stack.paths import StateFolder
from portalbus.infra.stack.postgres import Postgres, new_passwords
from portalbus.infra.stack.process import Service
from portalbus.schemas.directory import directory
from small_disks import SmallDisks, fill, make_room, restarted
from whole_bus import Bus as BareBus
from whole_bus import Running

RATE = 150.0
SOURCES = [f"{agency.code}/www" for agency in directory().current(datetime.now(UTC).date())[:4]]
AGENCIES = agencies_of(SOURCES)
DISK_MEGABYTES = 200
DISK_FULL = "53100"

TOLD_ONCE = "select count(*) = 1 from ledger.notice where record = 'Alert' and value ->> 'kind' = 'feedback.repeated'"
ALIKE = """
insert into ledger.case (case_id, public_code, receiver, owner, regime, category, channel, field, area, urgency,
    subject, content, language, received_at, state, position)
select 'H18-alike-' || n, 'A' || lpad(n::text, 11, '0'), 'H18', 'H18', 'R2', 1, 'WEB', 'giao-thong', '11', 'NORMAL',
    'Phản ánh', 'Đường vào bản ngập nước nhiều ngày, đề nghị sửa chữa gấp để các cháu đi học an toàn.', 'vi',
    now() - interval '1 minute' * n, 'RECEIVED', 0
from generate_series(1, 12) n"""
ALL_FOLDED = "select position = (select next - 1 from ledger.position) from casework.place"
ALL_KNOWN = "select count(distinct position) = (select next - 1 from ledger.position) from ledger.relayed"


def holds(bus: BareBus, query: LiteralString) -> bool:
    return bus.look.execute(query).fetchone() == (True,)


def publishing_goes_on(portals: Portals, what: str) -> None:
    before = acknowledged(portals)
    until(lambda: acknowledged(portals) > before + RATE, f"events acknowledged {what}", 60)


def met_a_full_disk(process: Running, application: str) -> bool:
    found = process.said("database.away")
    return any((line["application"], line["sqlstate"]) == (application, DISK_FULL) for line in found)


# ---- the database, in a few seconds -------------------------------------------------------------------------------


@pytest.fixture
def small_postgres(tmp_path: Path) -> Iterator[Postgres]:
    """A PostgreSQL of its own on a small disk."""
    state = StateFolder.at(tmp_path / "database")
    for folder in (state.logs, state.run):
        folder.mkdir(parents=True)
    postgres = Postgres(state, free_port(), new_passwords())
    with SmallDisks() as disks:
        postgres.start()
        try:
            disks.move(postgres, postgres.data, DISK_MEGABYTES)
            yield postgres
        finally:
            postgres.stop()


@pytest.mark.timeout(600)
def test_worker_relay_and_casework_wait_for_a_database_whose_disk_is_full(
    endpoints: Endpoints, small_postgres: Postgres, tmp_path: Path
) -> None:
    where = replace(endpoints, database_url=small_postgres.uri("portalbus"))
    bus = BareBus(where, tmp_path, AGENCIES).open()
    portals = Portals(bus, tmp_path, SOURCES, processes=2, rate=RATE)
    first = bus.start_casework()  # it writes down the law, so that the next one begins with what was judged
    bus.wait_until(lambda: first.said("casework.started"), "casework to begin")
    assert first.stop() == 0
    portals.start()
    try:
        running = {"worker": bus.start_worker()}
        bus.wait_until(lambda: bus.position() > 500, "some hundred events to be judged")
        fill(small_postgres.data)
        # Now: what they write of some hundred events is more than the tables have room for.
        running |= {"relay": bus.start_relay(), "casework": bus.start_casework()}
        for name, process in [*running.items(), ("scout", running["casework"])]:
            bus.wait_until(lambda: met_a_full_disk(process, name), f"the {name} met the full disk")
        publishing_goes_on(portals, "while the disk is full")
        make_room(small_postgres.data, DISK_MEGABYTES)
        portals.finish(within=RETURN_SECONDS)
        bus.wait_until(lambda: unrest(bus, AGENCIES) == "" and holds(bus, ALL_FOLDED), "casework to be up to date")
        back = until(lambda: unrest(bus, AGENCIES) == "", "everything to be judged and sent")
        report = judged_history(bus, portals.history, AGENCIES)
        print(f"\nthe disk of the database full: at rest {back:.1f} s after the last delivery: {report.figures()}")
        report.must_be_clean()
        bus.wait_until(lambda: holds(bus, ALL_KNOWN), "where everything lies, of what was sent meanwhile as well")
        assert {name: one.process.poll() for name, one in running.items()} == dict.fromkeys(running), "none ended"
    finally:
        make_room(small_postgres.data, DISK_MEGABYTES)
        portals.end()
        bus.close()


@pytest.mark.timeout(300)
def test_early_warning_tells_once_there_is_space_what_it_found_on_a_full_disk(
    endpoints: Endpoints, small_postgres: Postgres, tmp_path: Path
) -> None:
    bus = BareBus(replace(endpoints, database_url=small_postgres.uri("portalbus")), tmp_path, AGENCIES).open()
    try:
        bus.look.execute(ALIKE)
        fill(small_postgres.data)
        warning = bus.start_warning()
        bus.wait_until(lambda: len(warning.said("database.away")) > 2, "early warning met the full disk")
        assert met_a_full_disk(warning, "warning")
        assert not holds(bus, TOLD_ONCE)
        make_room(small_postgres.data, DISK_MEGABYTES)
        bus.wait_until(lambda: holds(bus, TOLD_ONCE), "the alert of feedback that says the same")
        assert warning.stop() == 0
    finally:
        make_room(small_postgres.data, DISK_MEGABYTES)
        bus.close()


# ---- both services, until they end --------------------------------------------------------------------------------


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    monkeypatch.setenv("PORTALBUS_SESSION_TIMEOUT", "6")
    with SmallDisks() as disks, Bus(tmp_path / "bus", workers=2, usual_ports=None) as bus:
        for service in (bus.stack.postgres, bus.stack.kafka):
            disks.move(service, service.data, DISK_MEGABYTES)
        yield bus


def exhaust_the_log(postgres: Postgres) -> None:
    """Has PostgreSQL begin new files of its log until it cannot, which it does not survive."""
    try:
        while True:
            with psycopg.connect(postgres._superuser_uri, autocommit=True, connect_timeout=2) as connection:
                connection.execute("select pg_switch_wal(), pg_logical_emit_message(false, 'more', 'log')")
    except psycopg.Error:
        until(lambda: postgres.pid is None, "PostgreSQL ends without room for its log", 60)


def lives_through(bus: Bus, folder: Path, service: Service, exhaust: Callable[[], object]) -> Report:
    """The disk of a service is full until it has ended and cannot start; then there is space again."""
    data = bus.stack.postgres.data if service is bus.stack.postgres else bus.stack.kafka.data
    portals = Portals(bus, folder, SOURCES, processes=2, rate=RATE)
    portals.start()
    try:
        until(lambda: acknowledged(portals) > 2 * RATE, "publishing begins", 60)
        until(lambda: unrest(bus, AGENCIES, tolerated=round(RATE)) == "", "the bus keeps up", 60)
        workers = {one.name: one.pid for one in bus._processes if one.name.startswith("worker")}
        fill(data)
        exhaust()
        with restarted(service) as found:
            until(lambda: len(found) > 1, f"{service.name} cannot start on a full disk", 120)
            publishing_goes_on(portals, f"while the disk of {service.name} is full")
            make_room(data, DISK_MEGABYTES)
            until(lambda: found[-1] == "started", f"{service.name} starts again", 120)
            portals.finish(within=RETURN_SECONDS)
            rest = wait_for_rest(bus, AGENCIES, within=RETURN_SECONDS)
        report = judged_history(bus, portals.history, AGENCIES)
        refused = found.count("started") < len(found)
        print(
            f"\nthe disk of {service.name} full: started again {len(found)} times, at rest {rest:.1f} s after the",
            end=" ",
        )
        print(f"last delivery: {report.figures()}")
        assert refused, "it had to be tried more than once"
        assert {one.name: one.pid for one in bus._processes if one.name.startswith("worker")} == workers
        assert bus.failed() == []
        return report
    finally:
        portals.end()


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_database_that_ends_without_room_for_its_log_loses_nothing(bus: Bus, tmp_path: Path) -> None:
    postgres = bus.stack.postgres
    lives_through(bus, tmp_path, postgres, lambda: exhaust_the_log(postgres)).must_be_clean()


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_broker_that_ends_with_its_disk_full_loses_nothing(bus: Bus, tmp_path: Path) -> None:
    kafka = bus.stack.kafka
    ends = lambda: until(lambda: kafka.pid is None, "Kafka ends with its disk full", 120)  # noqa: E731
    lives_through(bus, tmp_path, kafka, ends).must_be_clean()
