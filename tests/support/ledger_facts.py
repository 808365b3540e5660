"""What a ledger says, read straight from its tables."""

from __future__ import annotations

from typing import Any, LiteralString

from psycopg import Connection

from promises import promised

TABLES: tuple[LiteralString, ...] = (
    "source",
    "gap",
    "notice",
    "event",
    "judgement",
    "directive",
    "directive_version",
    "case",
    "waiting",
    "parked",
)


def counts(connection: Connection[Any]) -> dict[str, int]:
    """Number of rows in each table."""
    return {table: one(connection, f"select count(*) from ledger.{table}") for table in TABLES}


def one(connection: Connection[Any], query: LiteralString, *values: Any) -> Any:
    """The single value that a query gives."""
    row = connection.execute(query, values).fetchone()
    assert row is not None, query
    return row[0]


def rows(connection: Connection[Any], query: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
    """The rows that a query gives."""
    return connection.execute(query, values).fetchall()


def last_verdicts(connection: Connection[Any]) -> dict[tuple[str, int], str]:
    """The rule that decided last on each record."""
    return {
        (agency, offset): rule
        for agency, offset, rule in rows(connection, "select agency, lane_offset, rule from ledger.event")
    }


@promised()
def assert_sound(connection: Connection[Any]) -> None:
    """What holds in every ledger at every moment: each record once, positions without a hole, verdicts that agree."""
    nexts = dict(rows(connection, "select agency, next_offset from ledger.lane"))
    for agency, least, most, count in rows(
        connection, "select agency, min(lane_offset), max(lane_offset), count(*) from ledger.event group by agency"
    ):
        assert 0 <= least <= most < nexts[agency], f"{agency}: records {least} to {most} of {nexts[agency]} taken in"
        assert count <= nexts[agency], f"{agency}: {count} records of {nexts[agency]} taken in"
    taken, different, highest = rows(
        connection,
        """
        select count(*), count(distinct position), coalesce(max(position), 0)
        from (select position from ledger.judgement union all select position from ledger.notice) placed""",
    )[0]
    end = one(connection, "select next from ledger.position") - 1
    assert taken == different == highest == end, f"{taken} rows at {different} positions up to {highest} of {end}"
    differing = """
        select count(*) from ledger.event e left join ledger.judgement j using (position)
        where (j.agency, j.lane_offset, j.rule, j.status, j.final) is distinct from
              (e.agency, e.lane_offset, e.rule, e.status, e.final)"""
    assert one(connection, differing) == 0, "events and judgements disagree"
    finals = """
        select coalesce(max(n), 0) from
        (select count(*) n from ledger.judgement where final group by agency, lane_offset)"""
    assert one(connection, finals) <= 1, "a record has two final verdicts"
    waiting = one(connection, "select count(*) from ledger.event where status = 'WAITING'")
    room = one(connection, "select count(*) from ledger.waiting")
    assert waiting == room, f"{waiting} events wait, {room} are in the waiting room"
    behind = """
        select count(*) from ledger.source s where (held, held_bytes) <> (
            select count(*), coalesce(sum(length(value)), 0) from ledger.waiting w
            where w.agency = s.agency and w.key = 'source:' || s.agency || '/' || s.portal)"""
    assert one(connection, behind) == 0, "sources and the waiting room disagree about who is held"
