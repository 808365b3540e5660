"""What a migration may do, so that the version before goes on working while and after it is applied."""

from __future__ import annotations

import re

import pytest

from portalbus.streams.ledger.database import migrations, way_back
from portalbus.streams.ledger.stepping_back import LOST

FREE = "0016_held_bytes"
"""The last one that was written while no bus was in use; every later one keeps the rule."""

TAKES_AWAY = re.compile(
    r"\bdrop\s+(table|column|index|function|view|schema|constraint|default)\b|\brename\b|\btruncate\b"
    r"|\balter\s+column\s+\S+\s+(type|set\s+not\s+null|set\s+data)|\badd\s+column\s+(?![^,;]*\bdefault\b)[^,;]*\bnot\s+null",
    re.IGNORECASE,
)
"""What statements of a version that runs may stumble over. Something that no version needs any more is taken away two
versions later, in a migration that says so in a comment: `-- taken away: unused since VERSION`. One that takes away
what nothing stumbles over, an index or what is derived, says how: `-- the version before goes on: WHY`."""
EXCUSES = ("-- taken away: unused since ", "-- the version before goes on: ")


def takes_away(sql: str) -> str:
    """What of a migration the version before may stumble over; empty for nothing."""
    if any(excuse in sql for excuse in EXCUSES):
        return ""
    found = TAKES_AWAY.search(re.sub("--.*", "", sql))
    return found[0] if found else ""


def test_a_migration_only_adds() -> None:
    assert {
        name: takes_away(sql.decode()) for name, sql in migrations() if name > FREE and takes_away(sql.decode())
    } == {}


@pytest.mark.parametrize(
    "sql",
    [
        "drop table ledger.attempt;",
        "alter table ledger.case rename column owner to body",
        "alter table ledger.gap alter column missing set not null",
        "alter table ledger.gap add column n integer not null",
        "alter table ledger.gap alter column n type bigint",
    ],
)
def test_one_that_takes_away_is_found(sql: str) -> None:
    assert takes_away(sql)
    assert not takes_away(f"-- taken away: unused since 0.2\n{sql}")
    assert not takes_away(f"-- the version before goes on: nothing reads it\n{sql}")


@pytest.mark.parametrize(
    "sql",
    [
        "alter table ledger.gap add column n integer not null default 0 -- nothing to drop table for",
        "create table x ()",
    ],
)
def test_one_that_adds_passes(sql: str) -> None:
    assert not takes_away(sql)


def test_every_migration_has_a_way_back_and_what_it_loses_can_be_counted() -> None:
    for name, _ in migrations():
        sql = way_back(name)
        assert sql is not None, f"{name} has no {name}.down.sql"
        assert len(re.findall("^-- lost ", sql, re.MULTILINE)) == len(LOST.findall(sql)), name
