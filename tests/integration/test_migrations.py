"""Migrations forward and back, on a real ledger that has lived."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from bus_events import writers
from ledger_facts import one
from lived_ledger import contents, live
from memory_ledger import directory
from portalbus.infra.cli import main
from portalbus.infra.stack.postgres import installation
from portalbus.streams.ledger.database import connect, migrate, migrations, way_back
from portalbus.streams.ledger.migration_steps import MigrationBlocked, take_step
from portalbus.streams.ledger.stepping_back import (
    LOST,
    RowsWouldBeLost,
    StepBackRefused,
    list_migrations,
    step_back,
)
from portalbus.streams.ledger.table_locks import give_way_soon
from portalbus.streams.reading.proof import prove_verdicts
from portalbus.streams.rebuilding.comparing import compare
from portalbus.streams.rebuilding.rebuild import Rebuild
from remembered_lanes import RememberedLanes
from scratch_databases import create_database, drop_database

NAMES = [name for name, _ in migrations()]
NEWEST = int(NAMES[-1][:4])
HELD_BYTES = 16
"""A migration of which the way back needs no consent, and whose column somebody may have built upon."""
PATIENT = "-c lock_timeout=20s"
FOLDED = 8
"""Going back to this one and forward again, the fold of the lanes is whole."""
ANEW = {
    *(f"casework.{name}" for name in ("ahead", '"case"', "deadline", "escalation", "handling", "place")),
    "casework.routing",
    "casework.scouted",
    "ledger.review",
}
"""Tables that the processes fill anew by themselves: a fold of the ledger, and a setting of the workers."""


@dataclass(frozen=True)
class Databases:
    """Makes databases: empty ones, and ones with a ledger in which every table has rows."""

    server: str
    lanes: RememberedLanes
    template: str
    made: list[str] = field(default_factory=list)

    def empty(self) -> str:
        """The address of an empty one."""
        return self._make("")

    def lived(self) -> str:
        """The address of one with everything in it; `lanes` is where it comes from."""
        return self._make(self.template)

    def _make(self, template: str) -> str:
        self.made.append(f"migrating_{secrets.token_hex(4)}")
        with psycopg.connect(self.server, autocommit=True) as connection:
            create_database(connection, self.made[-1], template)
        return address(self.server, self.made[-1])


def address(server: str, database: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{database}"))


@pytest.fixture(scope="module")
def databases(postgres_url: str) -> Iterator[Databases]:
    """Databases that are dropped at the end of the module."""
    template = f"lived_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        create_database(connection, template)
        migrate(address(postgres_url, template))
        made = Databases(postgres_url, live(address(postgres_url, template)), template)
        yield made
        for name in (*made.made, template):
            drop_database(connection, name)


@pytest.fixture
def lived(databases: Databases) -> str:
    """A ledger with everything in it."""
    return databases.lived()


@pytest.fixture(scope="module")
def untouched(databases: Databases) -> Iterator[str]:
    """The same for tests in which nothing is changed."""
    url = databases.lived()
    yield url
    assert migrate(url) == []


def schema_of(url: str) -> str:
    """Everything in the catalogue, as PostgreSQL's own program writes it down."""
    options = ["--schema-only", "--no-owner", "--no-privileges", "--dbname", url]
    done = subprocess.run([installation() / "pg_dump", *options], capture_output=True, text=True, check=True)
    return "\n".join(line for line in done.stdout.splitlines() if not re.match(r"\\(un)?restrict ", line))


def test_one_step_back_after_the_other_the_tables_are_those_of_before(databases: Databases) -> None:
    forward, back = databases.empty(), databases.lived()
    schemas = {}
    for name in NAMES:
        migrate(forward, to=name)
        schemas[name] = schema_of(forward)
    for name in reversed(NAMES):
        assert schema_of(back) == schemas[name], f"before {name} is undone"
        assert step_back(back, int(name[:4]) - 1, lose_rows=True).undone == (name,)
    migrate(back)
    assert schema_of(back) == schemas[NAMES[-1]]


def test_going_back_and_forward_loses_what_the_way_back_says_and_nothing_else(lived: str) -> None:
    url = lived
    with psycopg.connect(url, autocommit=True) as look:
        empty = [name for name, rows in contents(look).items() if rows == "[]" and name not in ANEW]
        assert empty == [], "a table without rows shows nothing"
        for name in reversed(NAMES):
            before, told = contents(look), losses(url, int(name[:4]) - 1)
            step_back(url, int(name[:4]) - 1, lose_rows=True)
            migrate(url, to=name)
            after = contents(look)
            changed = {
                table.replace('"', "") for table in before if after[table] != before[table] and table not in ANEW
            }
            unsaid = {table for table in changed if not re.search(rf"\b{table}\b", told)}
            assert unsaid == set() or name == NAMES[0], f"{name} does not say that it loses rows of these"
            assert bool(told) == bool(changed), f"{name} says that it loses {told!r}"
            step_back(url, int(name[:4]) - 1, lose_rows=True)


def losses(url: str, to: int) -> str:
    """The queries that count what a step back says that it loses; empty when it loses nothing."""
    try:
        step_back(url, to)
    except RowsWouldBeLost as refused:
        said = {loss.what: loss.migration for loss in refused.losses}
        return " ".join(dict(LOST.findall(way_back(name) or ""))[what] for what, name in said.items())
    return ""


def test_going_back_and_forward_a_rebuild_and_the_proof_of_verdicts_find_nothing(databases: Databases) -> None:
    url = databases.lived()
    done = step_back(url, FOLDED, lose_rows=True)
    assert done.undone == tuple(reversed(NAMES[FOLDED:]))
    migrate(url)
    with Rebuild(url, databases.lanes, writers(), directory()) as rebuild:
        assert rebuild.run() > 100
        with rebuild.one_moment() as looking:
            assert [(table.table, table.first) for table in compare(looking) if table.rows] == []
    with psycopg.connect(url) as look:
        proof = prove_verdicts(look, None)
    assert proof.holds, proof.problems


def test_rows_are_lost_only_with_consent_and_all_that_would_be_is_named_before_anything_is_undone(
    untouched: str,
) -> None:
    with pytest.raises(RowsWouldBeLost) as refused:
        step_back(untouched, FOLDED)
    assert {loss.migration for loss in refused.value.losses} >= {"0009_casework", "0010_console", "0014_restorations"}
    assert all(loss.rows > 0 for loss in refused.value.losses)
    assert migrate(untouched) == [], "nothing was undone"


def test_nobody_steps_back_under_a_running_process(untouched: str) -> None:
    with (
        closing(connect(untouched, application="worker")),
        pytest.raises(StepBackRefused, match=r"portalbus-worker is connected .* stop"),
    ):
        step_back(untouched, NEWEST - 1)
    assert migrate(untouched) == []


def test_a_migration_of_a_newer_version_stands_until_that_version_undoes_it(lived: str) -> None:
    with psycopg.connect(lived) as look:
        look.execute("insert into portalbus_migration (name) values ('9999_of_tomorrow'), ('push_0001_webhooks')")
    with psycopg.connect(lived) as look:
        assert [one.name for one in list_migrations(look) if not one.known] == ["9999_of_tomorrow"]
    with pytest.raises(StepBackRefused, match="9999_of_tomorrow: use the version of portalbus that applied it"):
        step_back(lived, NEWEST - 1)
    assert migrate(lived) == []


def test_a_step_that_fails_changes_nothing(lived: str, monkeypatch: pytest.MonkeyPatch) -> None:
    step_back(lived, HELD_BYTES, lose_rows=True)
    with psycopg.connect(lived) as look:
        look.execute("create view public.theirs as select held_bytes from ledger.source")  # nobody knew of it
    before = schema_of(lived)
    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        step_back(lived, HELD_BYTES - 2, lose_rows=True)
    assert schema_of(lived) == before
    assert migrate(lived) == NAMES[HELD_BYTES:]


def test_the_commands_tell_go_back_and_go_forward(lived: str, capsys: pytest.CaptureFixture[str]) -> None:
    def portalbus(*words: str) -> tuple[int, str, str]:
        status = main(["migrations", *words, "--database-url", lived])
        return status, *capsys.readouterr()

    to = HELD_BYTES - 2
    back = ("down", "--to", str(to))
    assert portalbus("status")[0] == 0
    status, _, error = portalbus(*back)
    assert status == 1
    assert "who blocked sources, and why (1)" in error and "--lose-rows" in error
    status, told, _ = portalbus(*back, "--json")
    assert (status, json.loads(told)["undone"]) == (1, [])
    status, told, _ = portalbus(*back, "--lose-rows", "--json")
    assert (status, json.loads(told)["undone"]) == (0, NAMES[: to - 1 : -1])
    status, told, _ = portalbus("status", "--json")
    assert status == 1
    assert [one["name"] for one in json.loads(told) if one["applied_at"] is None] == NAMES[to:]
    assert json.loads(portalbus("up", "--json")[1]) == {"applied": NAMES[to:]}
    assert "nothing is newer" in portalbus("down", "--to", str(NEWEST))[1]
    with closing(connect(lived, application="worker")):
        assert portalbus("down", "--to", str(NEWEST - 1))[0] == 3


EXACT = "0023_exact_gaps"
ONE_MORE = """
insert into ledger.event
    (agency, lane_offset, claims_id, portal, epoch, received_at, judged_at, position, status, final, sequence, rule)
select agency, %s, false, portal, 77, received_at, judged_at, position, status, final, %s, %s
from ledger.event where agency = %s and portal = %s limit 1"""
SET_ASIDE = """
insert into ledger.parked (agency, lane_offset, parked_at, reason, detail, headers, portal, epoch, sequence)
values (%s, %s, now(), 'record.empty', '', '[]', %s, 77, %s)"""
GAP_OF_BEFORE = """
insert into ledger.gap (agency, portal, epoch, first, last, opened_at, missing, state)
values (%s, %s, 77, %s, %s, now(), %s, %s)"""
COMPETENCE, REFUSED = "0020_cases_competence", "0021_refused"
"""Some databases got the second before the first was there."""


def apply_alone(url: str, name: str) -> None:
    """Applies one migration, as a version does that knows none of those before it."""
    with psycopg.connect(url) as connection:
        connection.execute(dict(migrations())[name])
        connection.execute("insert into public.portalbus_migration (name) values (%s)", (name,))


def test_a_migration_that_came_after_a_newer_one_is_named_as_missing_and_made_up_for(
    databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    late, in_order = databases.lived(), databases.lived()
    for url in (late, in_order):
        step_back(url, int(COMPETENCE[:4]) - 1, lose_rows=True)
    apply_alone(late, REFUSED)
    assert main(["migrations", "status", "--json", "--database-url", late]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in told if one["applied_at"] is None and one["name"] <= REFUSED] == [COMPETENCE]
    assert main(["migrations", "up", "--json", "--database-url", late]) == 0
    assert json.loads(capsys.readouterr().out)["applied"][0] == COMPETENCE
    migrate(in_order)
    assert schema_of(late) == schema_of(in_order)
    with psycopg.connect(late) as one_way, psycopg.connect(in_order) as other:
        before, after = contents(one_way), contents(other)
    assert {table for table in before if before[table] != after[table]} == set()


def test_where_a_migration_is_missing_in_between_the_way_back_undoes_what_is_there(databases: Databases) -> None:
    url, expected = databases.lived(), databases.empty()
    step_back(url, int(COMPETENCE[:4]) - 1, lose_rows=True)
    apply_alone(url, REFUSED)
    to = int(COMPETENCE[:4]) - 1
    assert step_back(url, to, lose_rows=True).undone == (REFUSED,)
    migrate(expected, to=max(name for name in NAMES if int(name[:4]) <= to))
    assert schema_of(url) == schema_of(expected)


def test_a_gap_that_stood_for_several_falls_into_what_it_stood_for(lived: str) -> None:
    """Of sequences 11 to 19, 13, 14 and 17 came (one of them could not be read), and 18 came while it was blocked."""
    step_back(lived, int(EXACT[:4]) - 1, lose_rows=True)
    with psycopg.connect(lived) as connection:
        connection.execute("delete from ledger.gap")
        agency, portal, offset = connection.execute(
            "select agency, portal, max(lane_offset) from ledger.event where portal is not null group by 1, 2 limit 1"
        ).fetchone() or ("", "", 0)
        for place, (sequence, rule) in enumerate([(13, "event.accepted"), (17, "x.y"), (18, "source.blocked")], 1):
            connection.execute(ONE_MORE, (offset + 1_000 + place, sequence, rule, agency, portal))
        connection.execute(SET_ASIDE, (agency, offset + 1_010, portal, 14))
        for first, last, missing, state in ((11, 19, 6, "open"), (30, 40, 11, "open"), (50, 60, 10, "closed")):
            connection.execute(GAP_OF_BEFORE, (agency, portal, first, last, missing, state))
    migrate(lived)
    with psycopg.connect(lived) as connection:
        found = connection.execute(
            "select first, last, missing, state, ask_at is not null from ledger.gap order by first"
        )
        assert found.fetchall() == [
            (11, 12, 2, "open", True),
            (15, 16, 2, "open", True),
            (18, 19, 2, "open", True),
            (30, 40, 11, "open", False),
            (50, 60, 11, "closed", False),
        ]
    assert step_back(lived, int(EXACT[:4]) - 1).losses == ()


def test_a_migration_waits_for_a_long_query_and_nobody_waits_behind_the_migration(lived: str) -> None:
    """A lock that is waited for without an end makes all wait who come after it, readers too."""
    step_back(lived, HELD_BYTES - 1, lose_rows=True)
    with psycopg.connect(lived) as reader, psycopg.connect(lived, autocommit=True, options=PATIENT) as worker:
        reader.execute("select count(*) from ledger.source")  # its transaction stays open
        migrating = threading.Thread(target=migrate, args=(lived,))
        migrating.start()
        try:
            waits = "select count(*) from pg_stat_activity where application_name = 'portalbus-migrate' and {}"
            waiting, apart = waits.format("wait_event_type = 'Lock'"), waits.format("state = 'idle'")
            for state in (waiting, apart, waiting, apart):
                until(lambda state=state: one(worker, state), f"the migration: {state}")  # type: ignore[misc]
                worker.execute("update ledger.source set last_heard_at = now()")
            assert migrating.is_alive()
        finally:
            reader.rollback()
            migrating.join(60)
    assert migrate(lived) == [], "it was applied as soon as the query was over"


def test_who_changes_tables_gives_way_before_the_server_ends_somebody_for_a_deadlock_with_it(untouched: str) -> None:
    """The server would end whoever has waited longest, and that is hardly ever a migration."""
    with psycopg.connect(untouched) as look:
        setting_ms = "select setting::int from pg_settings where unit = 'ms' and name = %s"
        until_it_looks = one(look, setting_ms, "deadlock_timeout")
        give_way_soon(look)
        gives_way = one(look, setting_ms, "lock_timeout")
    assert 0 < gives_way <= until_it_looks / 2


def test_a_migration_gives_up_in_the_end_and_names_who_is_in_the_way(untouched: str) -> None:
    with (
        psycopg.connect(untouched, application_name="a-report") as reader,
        connect(untouched, application="x") as migrating,
    ):
        migrating.autocommit = True
        reader.execute("select count(*) from ledger.source")
        with pytest.raises(MigrationBlocked, match=r"0099_x cannot have its tables: .*a-report"):
            take_step(
                migrating,
                "0099_x",
                lambda: migrating.execute("alter table ledger.source add column x integer"),
                patience=0,
            )


def until(holds: Callable[[], Any], what: str, within: float = 60) -> None:
    """Polls until something holds."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
